import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { StackProcess } from '../../src/cli/devStack.ts';
import { fingerprint, makeSampleTree } from '../../src/cli/sampleTree.ts';
import { TestCluster } from '../support/cluster.ts';

/** What must not be there twice: a node's process, a node's machine, a cluster's repository. Each refusal names both. */

const LONG = 240_000;
const { startHomarus, endProcess } = (await import(
  new URL('../../dist/cli/devStack.js', import.meta.url).href
)) as typeof import('../../src/cli/devStack.ts');

interface File {
  cluster: string;
  storages: { main: { path: string } };
  nodes: { id: string; root: string }[];
  dataDir: string;
}

let cluster: TestCluster;
const strangers: StackProcess[] = [];

beforeAll(async () => {
  cluster = await TestCluster.start({
    storage: 'files',
    nodes: ['n1', 'n2'],
    lock: { ttl: '8s', refresh: '1s', heartbeat: '4s', throttle: '500ms' },
  });
  for (const [place, node] of cluster.nodes.entries()) makeSampleTree(cluster.root(node), { seed: place, files: 20 });
}, LONG);
afterAll(async () => {
  await Promise.all(strangers.map(endProcess));
  await cluster?.stop();
}, LONG);

/** As another machine has it: a configuration that differs from the cluster's, and data of its own. */
function elsewhere(name: string, change: (file: File) => void): { config: string; root: string } {
  const file = JSON.parse(readFileSync(cluster.configFile, 'utf8')) as File;
  const directory = join(cluster.directory, name);
  const root = join(directory, 'root');
  mkdirSync(root, { recursive: true });
  file.dataDir = join(directory, 'state');
  for (const node of file.nodes) node.root = root;
  change(file);
  const config = join(directory, 'homarus.json');
  writeFileSync(config, JSON.stringify(file));
  return { config, root };
}

function begin(config: string, ...args: string[]): StackProcess & { log(): string } {
  const name = `stranger-${strangers.length + 1}`;
  const logFile = join(cluster.directory, `${name}.log`);
  const child = startHomarus([...args, '--config', config, '--json'], { name, logFile, env: {} });
  strangers.push(child);
  return { ...child, log: () => readFileSync(logFile, 'utf8') };
}

async function until(fits: () => boolean): Promise<void> {
  while (!fits()) await pause(100);
}

test(
  'a second process of a node is refused, and names the first',
  async () => {
    const second = begin(cluster.configFile, 'node', '--node', 'n1');
    expect(await second.exited).toBe('ended with code 13');
    expect(second.log()).toMatch(
      new RegExp(`node n1: process ${cluster.process('n1').pid} on .* works on .*/n1 already`),
    );
  },
  LONG,
);

test(
  'a second machine that says it is a node is refused while the first lives, and the first goes on',
  async () => {
    const { config } = elsewhere('second-machine', () => undefined);
    const rival = begin(config, 'node', '--node', 'n1');
    await until(() => rival.log().includes('waiting whether it lives'));
    // Work for the first, so that it is seen to live.
    await cluster.does('backup');
    expect(await rival.exited).toBe('ended with code 13');
    const [, first, second] = /node n1 is served by two machines: (\S+) and (\S+?)"/.exec(rival.log()) ?? [];
    expect([first, second]).toEqual([
      expect.stringMatching(new RegExp(`^node/n1/[0-9a-f]{8}/${rival.pid}@`)),
      expect.stringMatching(new RegExp(`^node/n1/[0-9a-f]{8}/${cluster.process('n1').pid}@`)),
    ]);
  },
  LONG,
);

test(
  'a second machine that came at the same moment, so that neither saw the other, is refused at the lock',
  async () => {
    const { workflowService, options } = cluster.client;
    const worker = 'node/n2/0123abcd/4711@another-host';
    const taskQueue = { name: 'homarus.east.node.n2.ctl' };
    // The least that the server lets a poll wait is some seconds. A worker asks several times at once, so that each
    // partition of the queue knows it.
    await cluster.client.connection.withDeadline(Date.now() + 4_000, () =>
      Promise.all(
        Array.from({ length: 8 }, () =>
          workflowService.pollActivityTaskQueue({ namespace: options.namespace, identity: worker, taskQueue }),
        ),
      ),
    );
    const { json } = await cluster.homarus('backup');
    const own = `/${cluster.process('n2').pid}@`;
    expect(json.error).toMatchObject({
      code: 'NodeTaken',
      message: expect.stringMatching(new RegExp(`^node n2 is served by two machines: \\S+${own}\\S+ and ${worker}$`)),
    });
    expect((await cluster.does('status')).lock).toMatchObject({ holder: null });
  },
  LONG,
);

test(
  'a cluster has no part in the repository of another one, and changes nothing in it',
  async () => {
    const { config, root } = elsewhere('west', (file) => {
      file.cluster = 'west';
    });
    const before = fingerprint(join(cluster.directory, 'storage'));
    const refusal = /holds the repository of cluster \\"east\\", not of \\"west\\"/;
    const init = begin(config, 'init');
    expect(await init.exited).toBe('ended with code 10');
    expect(init.log()).toMatch(refusal);

    makeSampleTree(root, { seed: 9, files: 5 });
    begin(config, 'coordinator');
    begin(config, 'node', '--node', 'n1');
    const backup = begin(config, 'backup');
    expect(await backup.exited).toBe('ended with code 10');
    expect(backup.log()).toMatch(refusal);
    expect(fingerprint(join(cluster.directory, 'storage'))).toEqual(before);
  },
  LONG,
);

test(
  'a node whose configuration names another repository is refused, naming both',
  async () => {
    const other = join(cluster.directory, 'other-storage');
    const { config } = elsewhere('other-storage-config', (file) => {
      file.storages.main.path = other;
      file.nodes[0]!.root = cluster.root('n1');
      file.dataDir = join(cluster.directory, 'state');
    });
    expect(await begin(config, 'init').exited).toBe('ended with code 0');
    await cluster.kill('n1');
    const wrong = begin(config, 'node', '--node', 'n1');
    await until(() => wrong.log().includes('node started'));
    const { json } = await cluster.homarus('backup', '--without-node', 'n2');
    expect(json.error).toMatchObject({
      code: 'ForeignRepository',
      message: expect.stringMatching(
        /other-storage holds repository \w{32}, but the operation works on repository \w{32}$/,
      ),
    });
    await endProcess(wrong);
    await cluster.launch('n1');
    await cluster.does('backup', '--without-node', 'n2');
  },
  LONG,
);
