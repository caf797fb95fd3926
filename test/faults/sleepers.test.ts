import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { differences, fingerprint } from '../../src/cli/sampleTree.ts';
import type { TestCluster } from '../support/cluster.ts';
import { AT_ONCE, faultyCluster, gets, give, listed, PATIENCE, puts, says, stored, wipe } from '../support/faults.ts';
import { comes } from '../support/patience.ts';

/** Processes that are stopped past their lock (SIGSTOP: a paused machine) and go on when others have worked meanwhile. */

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await faultyCluster();
  await cluster.does('backup');
}, PATIENCE);
afterAll(() => cluster?.stop(), PATIENCE);

const stop = (name: string): void => cluster.process(name).kill('SIGSTOP');
const wake = (name: string): void => cluster.process(name).kill('SIGCONT');
const ranOut = /work on this node was stopped: node n2: its lease was not refreshed for 10 s/;

/** The epoch of the lock that is held. */
const epochHeld = (): string => stored(cluster, 'leases/').at(-1)!.slice('leases/'.length);

test(
  'a node that sleeps past its lock while it uploads stores nothing when it wakes, says why, and takes part in the next backup',
  async () => {
    give(cluster, 'n2');
    const packs = cluster.front.hold(puts('n2', 'packs/'));
    const id = await cluster.begins('backup');
    // All that it sends at once: a request that begins as it is stopped would show itself when it wakes, without a body.
    await comes(
      () => `${AT_ONCE} packs to come; ${packs.count} have`,
      () => packs.count >= AT_ONCE || undefined,
    );
    const epoch = epochHeld();
    stop('n2');
    const ended = await cluster.end(id);
    expect(ended).toMatchObject({ state: 'failed', error: { code: 'LockLost' } });
    expect(ended.error?.message).toContain('node n2');
    await cluster.does('cleanup', '--yes');

    const before = stored(cluster, `packs/${epoch}`);
    // The answers wait for it: it would send again at once.
    packs.letGo(503);
    const asked = cluster.front.asked.length;
    wake('n2');
    await says(cluster, 'n2', ranOut);
    await cluster.does('backup', '--wait-for-lock', '1m');
    const late = cluster.front.asked.slice(asked).filter(({ from, key }) => from === 'n2' && key.includes(epoch));
    expect(late.filter(({ verb }) => verb !== 'GET' && verb !== 'LIST')).toEqual([]);
    expect(stored(cluster, `packs/${epoch}`).filter((key) => !before.includes(key))).toEqual([]);
    expect(await cluster.locked()).toEqual({});
  },
  PATIENCE,
);

test(
  'a node that sleeps past its lock while it restores writes nothing when it wakes, and the next restore brings all back',
  async () => {
    give(cluster, 'n2');
    await cluster.does('backup');
    const whole = fingerprint(cluster.root('n2'));
    wipe(cluster.root('n2'));
    const packs = cluster.front.hold(gets('n2', 'packs/'));
    // The pages of the tree come first; they stand in packs, too.
    const id = await cluster.begins('restore', 'latest', '--yes');
    await packs.met;
    packs.letGo();
    const contents = cluster.front.hold(gets('n2', 'packs/'));
    await contents.met;
    stop('n2');
    const ended = await cluster.end(id);
    expect(ended).toMatchObject({ state: 'failed', error: { code: 'LockLost' } });
    await cluster.does('cleanup', '--yes');

    const before = fingerprint(cluster.root('n2'));
    contents.letGo();
    wake('n2');
    await says(cluster, 'n2', ranOut);
    // Granted only when what worked before has ended.
    await cluster.does('lock', '--for', '5m');
    expect(differences(before, fingerprint(cluster.root('n2')))).toEqual([]);
    await cluster.does('unlock');

    await cluster.does('restore', 'latest', '--yes');
    expect(differences(whole, fingerprint(cluster.root('n2')))).toEqual([]);
    expect(await cluster.locked()).toEqual({});
  },
  PATIENCE,
);

test(
  'a coordinator that sleeps just before its commit changes nothing when another operation took the lock meanwhile',
  async () => {
    await cluster.launch('coordinator-2');
    await cluster.kill('coordinator-2');
    give(cluster, 'n1');
    const before = await listed(cluster);
    const commit = cluster.front.hold(puts('coordinator', 'manifests/'));
    const id = await cluster.begins('backup');
    await commit.met;
    const epoch = epochHeld();
    stop('coordinator');
    // The other one may neither commit in its place nor refresh its lease.
    const refresh = cluster.front.hold(puts('coordinator-2', `leases/${epoch}`));
    const again = cluster.front.hold(puts('coordinator-2', 'manifests/'));
    await cluster.launch('coordinator-2');
    await cluster.does('cleanup', '--wait-for-lock', '2m', '--yes');

    commit.letGo();
    wake('coordinator');
    again.letGo();
    refresh.letGo();
    expect(await cluster.end(id)).toMatchObject({ state: 'failed', error: { code: 'LockLost' } });
    expect(await listed(cluster)).toEqual(before);
    await cluster.does('backup', '--wait-for-lock', '1m');
    expect(await cluster.locked()).toEqual({});
  },
  PATIENCE,
);

test(
  'a coordinator that sleeps just before its commit finds that another one has committed in its place',
  async () => {
    give(cluster, 'n1');
    const before = await listed(cluster);
    const commit = cluster.front.hold(({ verb, from, key }) => {
      return verb === 'PUT' && from.startsWith('coordinator') && key.startsWith('manifests/');
    });
    const id = await cluster.begins('backup');
    const { from } = await commit.met;
    stop(from);
    commit.lift();
    const ended = await cluster.end(id);
    expect(ended).toMatchObject({ state: 'succeeded', error: null });
    commit.letGo();
    wake(from);
    await cluster.does('cleanup', '--wait-for-lock', '1m', '--yes');
    const [added, ...others] = (await listed(cluster)).filter((name) => !before.includes(name));
    expect(added).toBe((ended.result as { backup: string }).backup);
    expect(others).toEqual([]);
    expect(await cluster.locked()).toEqual({});
  },
  PATIENCE,
);
