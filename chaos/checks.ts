import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { differences, fingerprint } from '../src/cli/sampleTree.ts';
import { openReading } from '../src/client/reading.ts';
import { parseConfig } from '../src/config.ts';
import type { BackupEntry } from '../src/domain/documents.ts';
import { keys } from '../src/domain/documents.ts';
import { isAttempt, isRestore, namesIn } from '../src/node/workDirectory.ts';
import { ledTo } from '../src/storage/garbage.ts';
import { epochOf } from '../src/storage/ids.ts';
import { openStore } from '../src/storage/openStore.ts';
import type { Repository } from '../src/storage/repository.ts';
import type { RootAt } from '../src/storage/roots.ts';
import type { TestCluster } from '../test/support/cluster.ts';
import type { Content } from './model.ts';

/** What is looked at from outside while nothing is broken; each answers what is wrong, for people. */

/** What all nodes hold now. */
export const contentOf = (cluster: TestCluster): Content =>
  new Map(cluster.nodes.map((node) => [node, fingerprint(cluster.root(node))]));

export async function listed(cluster: TestCluster): Promise<readonly BackupEntry[]> {
  return reading(cluster, async (_, { root }) => root.backups);
}

async function reading<T>(cluster: TestCluster, read: (repository: Repository, at: RootAt) => Promise<T>): Promise<T> {
  const { main } = parseConfig(readFileSync(cluster.configFile, 'utf8'), cluster.configFile).storages;
  const store = await openStore(main!);
  try {
    const { repository, at } = await openReading(store, 'east');
    return await read(repository, at);
  } finally {
    await store.close();
  }
}

/** Whether the nodes hold what a backup has of them. */
export function wrongFiles(what: string, content: Content, rootOf: (node: string) => string): string[] {
  return [...content].flatMap(([node, files]) => {
    const differ = differences(files, fingerprint(rootOf(node)));
    return differ.length > 0 ? [`${what}, ${node}: ${differ.length} differ: ${differ.slice(0, 3).join(', ')}`] : [];
  });
}

/** Brings one node's part of a backup back from storage alone, and compares. */
export async function wrongExtract(cluster: TestCluster, backup: string, content: Content): Promise<string[]> {
  const [[node] = ['']] = content;
  const to = mkdtempSync(join(cluster.directory, 'extracted-'));
  try {
    const { exit, json } = await cluster.homarus('extract', backup, '--node', node, '--to', to);
    if (exit !== 0) return [`${backup}, ${node}: ${json.error?.message}`];
    return wrongFiles(`extract of ${backup}`, content, () => to);
  } finally {
    rmSync(to, { recursive: true, force: true });
  }
}

/** What nobody needs any more after a backup and a cleanup that nothing disturbed. */
export async function leftOver(cluster: TestCluster): Promise<string[]> {
  const stored = await reading(cluster, async (repository, { root }) => {
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
