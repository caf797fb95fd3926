import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseConfig } from '../../src/config.ts';
import { releaseLock } from '../../src/storage/lock.ts';
import { openStore } from '../../src/storage/openStore.ts';
import { openRepository } from '../../src/storage/repository.ts';
import { commit, presentRoot } from '../../src/storage/roots.ts';
import type { TestCluster } from '../support/cluster.ts';
import { faultyCluster, gets, give, listed, PATIENCE, puts, wipe } from '../support/faults.ts';
import type { Asked } from '../support/storageFront.ts';

/** A storage that is gone for a time, refuses, stalls, or does late what it was asked; and a lock that cannot be refreshed. */

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await faultyCluster({
    timeouts: { retryFor: '20s', stall: '2s', connect: '1s' },
    lock: { ttl: '24s', refresh: '2s', heartbeat: '8s', throttle: '500ms' },
  });
  await cluster.does('backup');
}, PATIENCE);
afterAll(() => cluster?.stop(), PATIENCE);

const everybody = (): string[] => ['coordinator', ...cluster.nodes];
const packPut = ({ verb, key }: Asked): boolean => verb === 'PUT' && key.startsWith('packs/');
/** The commit; the taking of the lock was before. */
const manifestPut = puts('coordinator', 'manifests/');
const rootPut = puts('coordinator', 'roots/');

/** Of one backup, the root that names it. */
function rootOfCommit(): (asked: Asked) => boolean {
  let isStored = false;
  return (asked) => {
    isStored ||= manifestPut(asked);
    return isStored && rootPut(asked);
  };
}

/** `attempts`: a backup that had to begin anew did not go on. */
async function succeeds(id: string, { attempts = 1 } = {}): Promise<void> {
  const ended = await cluster.end(id);
  expect(ended).toMatchObject({ state: 'succeeded', error: null, result: { attempt: attempts } });
  expect((await listed(cluster))[0]).toBe((ended.result as { backup: string }).backup);
  expect(await cluster.locked()).toEqual({});
}

describe('a storage that is gone', () => {
  // Beyond the lock's time (24 s here, 120 s by default) there is nothing to go on with.
  const GONE = 5_000;

  test(
    'while nodes upload is asked again until it is back, and the backup succeeds',
    async () => {
      give(cluster, 'n1', 'n2');
      const packs = cluster.front.hold(packPut);
      const id = await cluster.begins('backup');
      await packs.met;
      for (const name of everybody()) await cluster.front.line(name).set('refuse');
      packs.letGo();
      await pause(GONE);
      for (const name of everybody()) await cluster.front.line(name).set('pass');
      await succeeds(id);
    },
    PATIENCE,
  );

  test(
    'while a backup is committed is asked again until it is back, and the backup exists once',
    async () => {
      give(cluster, 'n1');
      const before = await listed(cluster);
      const manifest = cluster.front.hold(manifestPut);
      const id = await cluster.begins('backup');
      await manifest.met;
      await cluster.front.line('coordinator').set('drop');
      manifest.letGo();
      await pause(GONE);
      await cluster.front.line('coordinator').set('pass');
      await succeeds(id);
      expect(await listed(cluster)).toHaveLength(before.length + 1);
    },
    PATIENCE,
  );

  test.each([
    ['refuses', 'refuse', 26_000, 2],
    ['is silent to', 'drop', 8_000, 1],
  ] as const)(
    'to one node alone, which it %s, costs that node time, not the backup',
    async (_, how, gone, attempts) => {
      give(cluster, 'n2');
      const packs = cluster.front.hold(puts('n2', 'packs/'));
      const id = await cluster.begins('backup');
      await packs.met;
      await cluster.front.line('n2').set(how);
      packs.letGo();
      // Longer than the lock, once: Temporal still hears of the node.
      await pause(gone);
      await cluster.front.line('n2').set('pass');
      await succeeds(id, { attempts });
    },
    PATIENCE,
  );

  // A backup tries anew under another lock, as often as it is configured; a restore does not.
  test.each(process.env.HOMARUS_LONG ? ['restore', 'backup'] : ['restore'])(
    'to one node for good ends the %s by name, and the next one succeeds',
    async (name) => {
      give(cluster, 'n2');
      if (name === 'restore') {
        await cluster.does('backup');
        wipe(cluster.root('n2'));
      }
      const before = await listed(cluster);
      const operation = name === 'restore' ? ['restore', 'latest', '--yes'] : ['backup'];
      const packs = cluster.front.hold(name === 'restore' ? gets('n2', 'packs/') : puts('n2', 'packs/'));
      const id = await cluster.begins(...operation);
      await packs.met;
      await cluster.front.line('n2').set('drop');
      packs.letGo();
      const ended = await cluster.end(id);
      expect(ended).toMatchObject({ state: 'failed', error: { code: 'StoreUnreachable' } });
      expect(ended.error?.message).toContain('s3://backups/east');
      await cluster.front.line('n2').set('pass');
      expect(await cluster.locked()).toEqual({});
      expect(await listed(cluster)).toEqual(before);
      await cluster.does(...operation);
    },
    PATIENCE + 120_000,
  );

  test(
    'when an operation is begun is named after the time that it is given, and nothing is locked',
    async () => {
      await cluster.front.line('coordinator').set('refuse');
      const ended = await cluster.end(await cluster.begins('backup'));
      await cluster.front.line('coordinator').set('pass');
      expect(ended).toMatchObject({ state: 'failed', error: { code: 'StoreUnreachable' } });
      expect(ended.error?.message).toContain('s3://backups/east');
      await cluster.does('backup');
      expect(await cluster.locked()).toEqual({});
    },
    PATIENCE,
  );
});

describe('a storage that', () => {
  test(
    'answers 500, 503 and 429 is asked again, by nodes and by coordinators',
    async () => {
      give(cluster, 'n1', 'n2');
      const rules = [500, 503, 429].map((status) => {
        let met = 0;
        // One fault for each request of these three kinds, in turn.
        return cluster.front.meet((asked) => (packPut(asked) || manifestPut(asked)) && ++met <= 2, status);
      });
      await succeeds(await cluster.begins('backup'));
      for (const rule of rules) {
        expect(rule.count).toBe(2);
        rule.lift();
      }
    },
    PATIENCE,
  );

  test(
    'takes a request and falls silent is asked again',
    async () => {
      give(cluster, 'n2');
      const rule = cluster.front.meet((asked) => packPut(asked) || rootPut(asked), 'stall', 3);
      await succeeds(await cluster.begins('backup'));
      expect(rule.count).toBeGreaterThan(3);
      rule.lift();
    },
    PATIENCE,
  );

  test.each([
    ['a pack', () => packPut],
    ['the manifest', () => manifestPut],
    ['the root of the lock', () => rootPut],
    ['the root of the commit', rootOfCommit],
  ])(
    'does not answer the write of %s, and carries it out after it was given up: the backup exists once',
    async (_, what) => {
      give(cluster, 'n2');
      const before = await listed(cluster);
      const rule = cluster.front.meet(what(), 'late', 1);
      await succeeds(await cluster.begins('backup'));
      expect(rule.count).toBeGreaterThan(1);
      rule.lift();
      expect(await listed(cluster)).toHaveLength(before.length + 1);
    },
    PATIENCE,
  );
});

describe('a lock that cannot be refreshed', () => {
  test(
    'since the storage refuses it for the lock’s time, ends the operation with the reason, after all nodes have stopped',
    async () => {
      give(cluster, 'n1', 'n2');
      const packs = cluster.front.hold(packPut);
      const from = cluster.front.asked.length;
      const id = await cluster.begins('backup');
      await packs.met;
      const refused = cluster.front.meet(puts('coordinator', 'leases/'), 403);
      const ended = await cluster.end(id);
      refused.lift();
      expect(ended).toMatchObject({ state: 'failed', error: { code: 'LockLost' } });
      expect(ended.error?.message).toMatch(
        /lost at the storage: .*could not be refreshed for 24 s: .*PUT leases.* was refused/,
      );
      afterTheirEnd(cluster.front.asked.slice(from));
      packs.letGo();
      await cluster.does('backup');
      expect(await cluster.locked()).toEqual({});
    },
    PATIENCE,
  );

  test(
    'since another has taken it, ends the operation at once and changes nothing of what the other has',
    async () => {
      give(cluster, 'n1');
      const packs = cluster.front.hold(packPut);
      const id = await cluster.begins('backup');
      await packs.met;
      const { main } = parseConfig(readFileSync(cluster.configFile, 'utf8'), cluster.configFile).storages;
      const store = await openStore(main!);
      try {
        const repository = await openRepository(store, { cluster: 'east' });
        const at = await presentRoot(repository);
        const holder = { ...at.root.holder!, operation: 'other', run: 'other/1', by: 'somebody else' };
        const epoch = at.root.epoch + 1;
        const taken = await commit(repository, at, (draft) => ({ ...draft, epoch, holder }), 'other');
        expect(taken.result).toBe('stands');
        const ended = await cluster.end(id);
        expect(ended).toMatchObject({ state: 'failed', error: { code: 'LockLost' } });
        expect(ended.error?.message).toMatch(/now held by .*other \(by somebody else\)/);
        packs.letGo();
        expect((await presentRoot(repository)).root).toMatchObject({ epoch, holder: { operation: 'other' } });
        await releaseLock(repository, epoch, 'other-release');
      } finally {
        await store.close();
      }
      await cluster.does('backup');
    },
    PATIENCE,
  );
});

/** The lock was given back when nobody sent packs any more. */
function afterTheirEnd(asked: readonly Asked[]): void {
  const last = Math.max(...asked.filter(packPut).map(({ went }) => went ?? Number.POSITIVE_INFINITY));
  const [, released] = asked.filter(rootPut);
  expect(last).toBeLessThan(released!.came);
}
