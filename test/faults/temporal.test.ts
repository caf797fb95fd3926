import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { differences, fingerprint } from '../../src/cli/sampleTree.ts';
import type { OperationStatus } from '../../src/client/progress.ts';
import type { TestCluster } from '../support/cluster.ts';
import { faultyCluster, gets, give, listed, PATIENCE, puts, unlocked, wipe } from '../support/faults.ts';

/** Temporal that is gone for a time or for good, and processes that cannot reach it while they reach the storage. */

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await faultyCluster();
  await cluster.does('backup');
}, PATIENCE);
afterAll(() => cluster?.stop(), PATIENCE);

/** It went on, or lost its lock; and the list tells the same as the operation. */
async function endedHonestly(ended: OperationStatus, before: readonly string[]): Promise<void> {
  const added = (await listed(cluster)).filter((name) => !before.includes(name));
  if (ended.state === 'succeeded') {
    expect(added).toEqual(ended.kind === 'backup' ? [(ended.result as { backup: string }).backup] : []);
  } else {
    expect(ended).toMatchObject({ state: 'failed', error: { code: 'LockLost' } });
    expect(added).toEqual([]);
  }
}

describe('Temporal that is gone', () => {
  test.each(process.env.HOMARUS_LONG ? [5, 60, 300] : [5])(
    'for %d s during a backup and comes back: the backup goes on, or has lost its lock and nothing is locked',
    async (seconds) => {
      give(cluster, 'n2');
      const before = await listed(cluster);
      const packs = cluster.front.hold(puts('n2', 'packs/'));
      const id = await cluster.begins('backup');
      await packs.met;
      await cluster.killTemporal();
      await pause(seconds * 1000);
      packs.letGo();
      await cluster.startTemporalAgain();
      await endedHonestly(await cluster.end(id), before);
      await unlocked(cluster);
      await cluster.does('backup');
    },
    PATIENCE + 300_000,
  );

  test(
    'during a restore and comes back: what was begun comes to its end, by itself or by the next restore',
    async () => {
      const whole = fingerprint(cluster.root('n2'));
      wipe(cluster.root('n2'));
      const packs = cluster.front.hold(gets('n2', 'packs/'));
      const id = await cluster.begins('restore', 'latest', '--yes');
      await packs.met;
      await cluster.killTemporal();
      packs.letGo();
      await pause(5_000);
      await cluster.startTemporalAgain();
      await endedHonestly(await cluster.end(id), await listed(cluster));
      await unlocked(cluster);
      await cluster.does('restore', 'latest', '--yes');
      expect(differences(whole, fingerprint(cluster.root('n2')))).toEqual([]);
    },
    PATIENCE,
  );
});

describe.each(['refuse', 'drop'] as const)(
  'a node that Temporal cannot be reached from (%s), but the storage can,',
  (line) => {
    test(
      'stops before its lock is given away, and takes part again when it is back',
      async () => {
        give(cluster, 'n2');
        const packs = cluster.front.hold(puts('n2', 'packs/'));
        const from = cluster.front.asked.length;
        const id = await cluster.begins('backup');
        await packs.met;
        await cluster.line('n2').set(line);
        const ended = await cluster.end(id);
        expect(ended).toMatchObject({ state: 'failed', error: { code: 'LockLost' } });
        expect(ended.error?.message).toContain('node n2');
        await cluster.does('cleanup', '--yes');

        const asked = cluster.front.asked.slice(from);
        const mine = asked.filter(puts('n2', 'packs/'));
        expect(mine.length).toBeGreaterThan(0);
        expect(mine.filter(({ outcome }) => outcome !== 'cut off')).toEqual([]);
        // Taken, given back after the loss, and what came later.
        const roots = asked.filter(puts('coordinator', 'roots/'));
        const last = Math.max(...mine.map(({ went }) => went ?? Number.POSITIVE_INFINITY));
        expect(last).toBeLessThan(roots[1]!.came);

        packs.letGo();
        await cluster.line('n2').set('pass');
        await cluster.does('backup', '--wait-for-lock', '1m');
        expect(await cluster.locked()).toEqual({});
      },
      PATIENCE,
    );
  },
);

test(
  'a coordinator that Temporal cannot be reached from for longer than the lock lasts: the operation ends and nothing is locked',
  async () => {
    give(cluster, 'n2');
    const before = await listed(cluster);
    const packs = cluster.front.hold(puts('n2', 'packs/'));
    const id = await cluster.begins('backup');
    await packs.met;
    await cluster.line('coordinator').set('drop');
    await pause(12_000);
    packs.letGo();
    await cluster.line('coordinator').set('pass');
    await endedHonestly(await cluster.end(id), before);
    await unlocked(cluster);
    await cluster.does('backup');
  },
  PATIENCE,
);

test(
  'Temporal that has lost its database: storage alone lists and extracts, and a new server takes over with nothing but the configuration',
  async () => {
    const whole = fingerprint(cluster.root('n2'));
    give(cluster, 'n1');
    const packs = cluster.front.hold(puts('n1', 'packs/'));
    await cluster.begins('backup');
    await packs.met;
    await cluster.killTemporal();
    // One worker is killed with it: what it left noted, the new server does not know.
    await cluster.kill('n1');
    packs.letGo();

    const [latest] = await listed(cluster);
    const to = join(cluster.directory, 'extracted');
    mkdirSync(to);
    await cluster.does('extract', latest!, '--node', 'n2', '--to', to);
    expect(differences(whole, fingerprint(to))).toEqual([]);

    await cluster.startTemporalAgain({ database: false });
    await cluster.launch('n1');
    await cluster.does('backup', '--wait-for-lock', '2m');
    wipe(cluster.root('n2'));
    await cluster.does('restore', latest!, '--node', 'n2', '--yes');
    expect(differences(whole, fingerprint(cluster.root('n2')))).toEqual([]);
    expect(await cluster.locked()).toEqual({});
  },
  PATIENCE,
);
