import { randomFillSync } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { makeSampleTree } from '../../src/cli/sampleTree.ts';
import { STORING } from '../../src/node/uploader.ts';
import { type ClusterOptions, TestCluster } from './cluster.ts';
import type { Asked } from './storageFront.ts';

/** What the tests in `test/faults` have in common: a cluster with short times, all of whose lines can be broken. */

/** Patience of a test, ms: a busy machine is slow, not wrong. */
export const PATIENCE = 240_000;

const KiB = 1024;

/** Of each node, on any machine. */
const THREADS = 2;

/** Packs that a node builds or sends at one time. */
export const AT_ONCE = THREADS + STORING;

type Options = Pick<ClusterOptions, 'nodes' | 'timeouts' | 'lock' | 'before' | 'after'>;

/** Its lock is short, so that losing it takes little time: tests in which processes start while it is held give a longer one. */
export async function faultyCluster(options: Options = {}): Promise<TestCluster> {
  const cluster = await TestCluster.start({
    storage: 's3',
    breakable: true,
    lock: { ttl: '10s', refresh: '1s', heartbeat: '5s', throttle: '500ms' },
    pack: { size: 1024 * KiB, block: 256 * KiB },
    more: { parallelism: { threads: THREADS } },
    ...options,
  });
  for (const [place, node] of cluster.nodes.entries()) makeSampleTree(cluster.root(node), { seed: place, files: 60 });
  return cluster;
}

/** So much that is nowhere yet that a node has more packs to store than it sends at once. */
export function give(cluster: TestCluster, ...nodes: string[]): void {
  const bytes = Buffer.alloc(400 * KiB);
  for (const node of nodes) {
    for (let file = 0; file < 40; file++) {
      writeFileSync(join(cluster.root(node), `given-${file}`), randomFillSync(bytes));
    }
  }
}

export function wipe(root: string): void {
  for (const name of readdirSync(root)) rmSync(join(root, name), { recursive: true });
}

export const puts =
  (from: string, prefix: string) =>
  (asked: Asked): boolean =>
    asked.from === from && asked.verb === 'PUT' && asked.key.startsWith(prefix);

export const gets =
  (from: string, prefix: string) =>
  (asked: Asked): boolean =>
    asked.from === from && asked.verb === 'GET' && asked.key.startsWith(prefix);

/** Keys of all that is stored, looked up beside the server. */
export function stored(cluster: TestCluster, prefix = ''): string[] {
  const base = join(cluster.directory, 's3', 'backups', 'east');
  return readdirSync(base, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(base.length + 1))
    .filter((key) => key.startsWith(prefix))
    .sort();
}

/** Names of all backups that are listed. */
export async function listed(cluster: TestCluster): Promise<string[]> {
  const { backups } = (await cluster.does('list')) as { backups: { name: string }[] };
  return backups.map(({ name }) => name);
}

/** Waits until the log of a process says it. */
export async function says(cluster: TestCluster, name: string, text: RegExp): Promise<void> {
  const { logFile } = cluster.process(name);
  while (!text.test(readFileSync(logFile, 'utf8'))) await pause(50);
}

/** Waits until nothing of the cluster is locked. */
export async function unlocked(cluster: TestCluster): Promise<void> {
  while (Object.keys(await cluster.locked()).length > 0) await pause(200);
}
