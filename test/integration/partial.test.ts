import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { differences, fingerprint, makeSampleTree } from '../../src/cli/sampleTree.ts';
import { TestCluster } from '../support/cluster.ts';

/** A node that is down must not stop all backups: what is missing is said everywhere, and what is there comes back. */

const LONG = 180_000;
let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start({
    storage: 'files',
    lock: { ttl: '8s', refresh: '1s', heartbeat: '4s', throttle: '500ms' },
  });
  for (const [place, node] of cluster.nodes.entries()) makeSampleTree(cluster.root(node), { seed: place, files: 30 });
  await cluster.does('backup', '--label', 'complete');
}, LONG);
afterAll(() => cluster?.stop(), LONG);

interface Listed {
  name: string;
  label: string;
  nodes: number;
  partial?: string[];
}
const listed = async (): Promise<Listed[]> => (await cluster.does('list')).backups as Listed[];
const holder = async (): Promise<unknown> => ((await cluster.does('status')).lock as { holder: unknown }).holder;

test(
  'a backup goes without a node that is down, if it may, and says so',
  async () => {
    await cluster.kill('n2');
    const estimates = Promise.all([
      cluster.homarus('backup', '--dry-run'),
      cluster.does('backup', '--dry-run', '--allow-missing', '1'),
    ]);
    const refused = await cluster.homarus('backup');
    expect(refused.json.error).toMatchObject({
      code: 'NodeUnavailable',
      message: 'node n2 does not answer: no worker takes its part of the lock',
      hint: expect.stringContaining('--without-node'),
    });
    expect(await holder()).toBeNull();

    const without = await cluster.does('backup', '--without-node', 'n2', '--label', 'without');
    expect(without).toMatchObject({ nodes: 2, missing: ['n2'] });
    const id = await cluster.begins('backup', '--allow-missing', '1', '--label', 'allowed');
    await cluster.until(id, ({ progress }) => progress?.missing?.join() === 'n2');
    expect(await cluster.end(id)).toMatchObject({ state: 'succeeded', result: { nodes: 2, missing: ['n2'] } });
    expect((await listed()).map(({ label, nodes, partial }) => ({ label, nodes, partial }))).toEqual([
      { label: 'allowed', nodes: 2, partial: ['n2'] },
      { label: 'without', nodes: 2, partial: ['n2'] },
      { label: 'complete', nodes: 3 },
    ]);
    const { manifest } = await cluster.does('show', (await listed())[0]!.name);
    expect(manifest).toMatchObject({ partial: ['n2'], nodes: [{ id: 'n1' }, { id: 'n3' }] });
    for (const [given, text] of [
      [['n9'], 'withoutNodes: there is no n9 in the cluster; it has n1, n2, n3'],
      [['n1', 'n2', 'n3'], 'withoutNodes: no node is left to be backed up of n1, n2, n3'],
    ] as const) {
      const { json } = await cluster.homarus('backup', ...given.flatMap((node) => ['--without-node', node]));
      expect(json.error).toMatchObject({ code: 'BadInput', message: text });
    }
    const [told, estimate] = await estimates;
    expect(told.json.error).toMatchObject({ code: 'NodeUnavailable', message: expect.stringMatching('node n2') });
    expect(estimate).toMatchObject({ missing: ['n2'], nodes: [{ node: 'n1' }, { node: 'n3' }] });
  },
  LONG,
);

test(
  'more nodes than allowed are too many, be it the first one that is down',
  async () => {
    await cluster.kill('n1');
    const { json } = await cluster.homarus('backup', '--allow-missing', '1');
    expect(json.error).toMatchObject({ code: 'NodeUnavailable', message: expect.stringMatching(/^node n2 /) });
    expect(await holder()).toBeNull();
    expect(await cluster.does('backup', '--allow-missing', '2')).toMatchObject({ nodes: 1, missing: ['n1', 'n2'] });
    await Promise.all(['n1', 'n2'].map((node) => cluster.launch(node)));
  },
  LONG,
);

test(
  'the latest backup to be restored is a complete one; of a partial one comes back what it has',
  async () => {
    const [, allowed, , complete] = await listed();
    const before = cluster.nodes.map((node) => fingerprint(cluster.root(node)));
    const lost = () =>
      cluster.nodes.map((node, place) => differences(before[place]!, fingerprint(cluster.root(node))).length > 0);
    const lose = () => {
      for (const node of cluster.nodes) rmSync(join(cluster.root(node), 'server.conf'), { force: true });
      writeFileSync(join(cluster.root('n2'), 'stray'), 'of nobody');
    };
    lose();
    const partial = await cluster.does('restore', allowed!.name, '--yes');
    expect(partial).toMatchObject({ missing: ['n2'], pairs: [{ to: 'n1' }, { to: 'n3' }] });
    expect(lost()).toEqual([false, true, false]);
    lose();
    expect(await cluster.does('restore', '--yes')).toMatchObject({ backup: complete!.name, missing: [] });
    expect(lost()).toEqual([false, false, false]);
    // The newest that has the node that is asked for.
    const ofOne = await cluster.does('restore', '--node', 'n1', '--yes');
    expect(ofOne).toMatchObject({ backup: allowed!.name, missing: [] });
    const { json } = await cluster.homarus('restore', allowed!.name, '--node', 'n2', '--yes');
    expect(json.error).toMatchObject({
      code: 'NodesDoNotMatch',
      message: expect.stringContaining('the backup has nothing for node n2'),
    });
  },
  LONG,
);
