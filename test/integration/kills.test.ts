import { randomFillSync } from 'node:crypto';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { differences, fingerprint, makeSampleTree } from '../../src/cli/sampleTree.ts';
import type { OperationStatus } from '../../src/client/progress.ts';
import { TestCluster } from '../support/cluster.ts';

/** `kill -9` of each kind of process in the middle of a backup and of a restore, on real servers and an S3 storage. */

const LONG = 240_000;
const BIG_FILES = 6;
const BIG_BYTES = 16 * 1024 * 1024;
let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start({
    storage: 's3',
    lock: { ttl: '30s', refresh: '2s', heartbeat: '6s', throttle: '500ms' },
  });
  for (const [place, node] of cluster.nodes.entries()) makeSampleTree(cluster.root(node), { seed: place, files: 300 });
}, LONG);
afterAll(() => cluster?.stop(), LONG);

/** So much that no compression and no former backup has, that a kill comes in the middle. */
function addRandom(): void {
  const bytes = Buffer.alloc(BIG_BYTES);
  for (const node of cluster.nodes) {
    for (let file = 0; file < BIG_FILES; file++) {
      writeFileSync(join(cluster.root(node), `big-${file}`), randomFillSync(bytes));
    }
  }
}

const isIn =
  (phase: string, node: string) =>
  ({ progress }: OperationStatus) =>
    progress?.phase === phase && !progress.done.includes(node);

function wipe(root: string): void {
  for (const name of readdirSync(root)) rmSync(join(root, name), { recursive: true });
}

const kills: Record<string, () => Promise<void>> = {
  'a node': async () => {
    await cluster.kill('n2');
    await cluster.launch('n2');
  },
  'the coordinator': async () => {
    await cluster.kill('coordinator');
    await cluster.launch('coordinator');
  },
  'Temporal, with its database kept,': async () => {
    await cluster.killTemporal();
    await cluster.startTemporalAgain();
  },
};

describe.each(Object.keys(kills))('%s killed and started again', (victim) => {
  test(
    'in the middle of a backup: it goes on and succeeds, and what was lost comes back',
    async () => {
      addRandom();
      const id = await cluster.begins('backup');
      await cluster.until(id, isIn('upload', 'n2'));
      await kills[victim]?.();
      const ended = await cluster.end(id);
      expect(ended).toMatchObject({ state: 'succeeded', error: null });
      expect(await lockOf()).toBeNull();
    },
    LONG,
  );

  test(
    'in the middle of a restore: it goes on to the same end',
    async () => {
      const before = cluster.nodes.map((node) => fingerprint(cluster.root(node)));
      for (const node of cluster.nodes) wipe(cluster.root(node));
      const id = await cluster.begins('restore', 'latest', '--yes');
      await cluster.until(id, isIn('restore', 'n2'));
      await kills[victim]?.();
      const ended = await cluster.end(id);
      expect(ended).toMatchObject({ state: 'succeeded', error: null });
      for (const [place, node] of cluster.nodes.entries()) {
        expect(differences(before[place]!, fingerprint(cluster.root(node)))).toEqual([]);
      }
      expect(await lockOf()).toBeNull();
    },
    LONG,
  );
});

async function lockOf(): Promise<unknown> {
  const { lock } = (await cluster.does('status')) as { lock: { holder: unknown } };
  return lock.holder;
}
