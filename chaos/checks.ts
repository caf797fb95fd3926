import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { differences, fingerprint } from '../src/cli/sampleTree.ts';
import { openReading, type Reading, readEntries } from '../src/client/reading.ts';
import { parseConfig } from '../src/config.ts';
import type { BackupEntry } from '../src/domain/documents.ts';
import { keys } from '../src/domain/documents.ts';
import { isAttempt, isRestore, namesIn } from '../src/node/workDirectory.ts';
import { ledTo } from '../src/storage/garbage.ts';
import { epochOf } from '../src/storage/ids.ts';
import { openStore } from '../src/storage/openStore.ts';
import type { TestCluster } from '../test/support/cluster.ts';
import type { Content, Known } from './model.ts';
import { type Lengths, RECORDS, wrongRecords } from './writers.ts';

/** What is looked at from outside while nothing is broken; each answers what is wrong, for people. */

const contentIn = (root: string): Map<string, string> => fingerprint(root, ['.homarus', RECORDS]);

/** What all nodes hold now. */
export const contentOf = (cluster: TestCluster): Content =>
  new Map(cluster.nodes.map((node) => [node, contentIn(cluster.root(node))]));

export async function listed(cluster: TestCluster): Promise<readonly BackupEntry[]> {
  return reading(cluster, async ({ at }) => at.root.backups);
}

async function reading<T>(cluster: TestCluster, read: (reading: Reading) => Promise<T>): Promise<T> {
  const { main } = parseConfig(readFileSync(cluster.configFile, 'utf8'), cluster.configFile).storages;
  const store = await openStore(main!);
  try {
    return await read(await openReading(store, 'east'));
  } finally {
    await store.close();
  }
}

/** Whether directories hold what a backup has of its nodes. */
export async function wrongFiles(
  cluster: TestCluster,
  backup: string,
  { content, least }: Pick<Known, 'content' | 'least'>,
  directoryOf: (node: string) => string,
): Promise<string[]> {
  const recorded = await recordedIn(cluster, backup);
  return [...content].flatMap(([node, files]) => {
    const directory = directoryOf(node);
    const what = `${backup} in ${directory}`;
    const differ = differences(files, contentIn(directory));
    return [
      ...(differ.length > 0 ? [`${what}: ${differ.length} differ: ${differ.slice(0, 3).join(', ')}`] : []),
      ...wrongRecords(what, directory, least.get(node) ?? 0, recorded.get(node) ?? 0),
    ];
  });
}

/** How long a backup says that the records of each node are. */
async function recordedIn(cluster: TestCluster, backup: string): Promise<Lengths> {
  const lengths = new Map<string, number>();
  await reading(cluster, (from) =>
    readEntries(from, backup, { below: RECORDS }, async ({ node, row }) => {
      if (row.path === RECORDS && row.type === 'file') lengths.set(node.id, row.size);
    }),
  );
  return lengths;
}

/** Brings one node's part of a backup back from storage alone, and compares. */
export async function wrongExtract(
  cluster: TestCluster,
  backup: string,
  node: string,
  { content, least }: Known,
): Promise<string[]> {
  const part = new Map([...content].filter(([one]) => one === node));
  const to = mkdtempSync(join(cluster.directory, 'extracted-'));
  try {
    const { exit, json } = await cluster.homarus('extract', backup, '--node', node, '--to', to);
    if (exit !== 0) return [`${backup}, ${node}: ${json.error?.message}`];
    return await wrongFiles(cluster, backup, { content: part, least }, () => to);
  } finally {
    rmSync(to, { recursive: true, force: true });
  }
}

/** What nobody needs any more after a backup and a cleanup that nothing disturbed. */
export async function leftOver(cluster: TestCluster): Promise<string[]> {
  const stored = await reading(cluster, async ({ repository, at: { root } }) => {
    const led = await ledTo(repository, root);
    const found: string[] = [];
    for await (const { key } of repository.store.list('')) {
      const epoch = epochOf(key);
      if (epoch === undefined || led.has(key) || key === keys.lease(root.epoch)) continue;
      // What a died backup stored above the floor is for the next one.
      if (epoch <= root.floor || key.startsWith('staging/') || key.startsWith('leases/')) found.push(key);
    }
    return found;
  });
  const local = cluster.nodes.flatMap((node) => {
    const links = join(cluster.root(node), '.homarus');
    const state = join(cluster.directory, 'state', 'nodes', node);
    return [
      ...namesIn(links)
        .filter((name) => isAttempt(name) || isRestore(name))
        .map((name) => join(links, name)),
      ...['work', 'previews'].flatMap((name) => namesIn(join(state, name)).map((one) => join(state, name, one))),
    ];
  });
  return [...stored, ...local].map((name) => `left over: ${name}`);
}

/** Processes of the cluster that are not among `expected` pids. */
export function strays(cluster: TestCluster, expected: ReadonlySet<number>): string[] {
  const lines = execFileSync('ps', ['-eo', 'pid=,stat=,args='], { encoding: 'utf8' }).split('\n');
  return lines.flatMap((line) => {
    const [, pid, stat = '', args = ''] = /^\s*(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
    const ours = args.includes('cli/main.js') && args.includes(cluster.directory);
    if (!ours || stat.startsWith('Z')) return [];
    return expected.has(Number(pid)) ? [] : [`a process is left over: ${pid} ${args.slice(0, 200)}`];
  });
}
