import { copyFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { differences, fingerprint } from '../../src/cli/sampleTree.ts';
import type { BackupResult, RestoreResult } from '../../src/domain/results.ts';
import { UploadJournal } from '../../src/node/uploadJournal.ts';
import type { TestCluster } from '../support/cluster.ts';
import { faultyCluster, gets, give, listed, PATIENCE, puts, stored, wipe } from '../support/faults.ts';

/** Workers that die (kill -9) or are told to end (SIGTERM) in the middle of operations, and come back or do not. */

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await faultyCluster({ lock: { ttl: '30s', refresh: '2s', heartbeat: '8s', throttle: '500ms' } });
}, PATIENCE);
afterAll(() => cluster?.stop(), PATIENCE);

/** A backup that did not begin anew. */
const wentOn = { state: 'succeeded', error: null, result: { attempt: 1 } };

/** How many packs the node has noted as stored. */
function noted(node: string): number {
  const stateDir = join(cluster.directory, 'state', 'nodes', node);
  const [path] = readdirSync(stateDir, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('/uploaded'),
  );
  if (path === undefined) return 0;
  const copy = join(cluster.directory, 'journal');
  copyFileSync(join(stateDir, path), copy);
  const journal = new UploadJournal(copy);
  const count = [...journal.packs()].length;
  journal.close();
  return count;
}

test(
  'a node that is killed while it uploads and comes back goes on, and stores nothing twice',
  async () => {
    give(cluster, 'n2');
    const DONE = 6;
    let came = 0;
    const rest = cluster.front.hold((asked) => puts('n2', 'packs/')(asked) && ++came > DONE);
    const id = await cluster.begins('backup');
    await rest.met;
    while (noted('n2') < DONE) await pause(20);
    await cluster.kill('n2');
    rest.lift();
    await cluster.launch('n2');
    rest.letGo();
    const ended = await cluster.end(id);
    expect(ended).toMatchObject(wentOn);
    // At once, not when heartbeats time out.
    expect(cluster.logOf('n2')).toMatch(/what a killed process ran was handed back: \d+ activities/);
    const packs = stored(cluster, 'packs/').map(
      (key) => statSync(join(cluster.directory, 's3/backups/east', key)).size,
    );
    const { stored: said, added, bytes } = ended.result as BackupResult;
    expect(packs.reduce((sum, size) => sum + size, 0)).toBe(said);
    // The first backup: what is added is what there is and some KiB of trees. A pack that is stored twice is most of a MiB.
    expect(added).toBeLessThan(bytes + 256 * 1024);
    expect(await cluster.locked()).toEqual({});
  },
  PATIENCE,
);

test(
  'a node that is killed while it restores and comes back keeps what it had restored',
  async () => {
    const whole = fingerprint(cluster.root('n2'));
    wipe(cluster.root('n2'));
    const DONE = 8;
    let came = 0;
    const rest = cluster.front.hold((asked) => gets('n2', 'packs/')(asked) && ++came > DONE);
    const id = await cluster.begins('restore', 'latest', '--yes');
    await rest.met;
    while (!readdirSync(cluster.root('n2')).some((name) => name.startsWith('given-'))) await pause(20);
    await cluster.kill('n2');
    rest.lift();
    await cluster.launch('n2');
    rest.letGo();
    const { state, result } = await cluster.end(id);
    expect(state).toBe('succeeded');
    expect(differences(whole, fingerprint(cluster.root('n2')))).toEqual([]);
    const { kept, files } = result as RestoreResult;
    const untouched = cluster.nodes.filter((node) => node !== 'n2').map((node) => fingerprint(cluster.root(node)));
    const others = untouched.flatMap((found) => [...found.values()]).filter((what) => what.startsWith('file')).length;
    expect(kept).toBeGreaterThan(others);
    expect(files).toBeGreaterThan(kept);
    expect(await cluster.locked()).toEqual({});
  },
  PATIENCE,
);

test(
  'a node that is killed while it restores and stays away is named, the rest is unlocked, and the next restore succeeds',
  async () => {
    const whole = fingerprint(cluster.root('n2'));
    wipe(cluster.root('n2'));
    const packs = cluster.front.hold(gets('n2', 'packs/'));
    const id = await cluster.begins('restore', 'latest', '--yes');
    await packs.met;
    await cluster.kill('n2');
    packs.letGo();
    const ended = await cluster.end(id);
    expect(ended).toMatchObject({ state: 'failed', error: { code: 'LockLost' } });
    expect(ended.error?.message).toContain('node n2: its worker does not answer any more');
    const { n2: _, ...others } = await cluster.locked();
    expect(others).toEqual({});
    await cluster.launch('n2');
    await cluster.does('restore', 'latest', '--yes', '--wait-for-lock', '1m');
    expect(differences(whole, fingerprint(cluster.root('n2')))).toEqual([]);
  },
  PATIENCE,
);

test(
  'of two coordinators either may be killed: the other one goes on',
  async () => {
    await cluster.launch('coordinator-2');
    for (const name of ['coordinator', 'coordinator-2']) {
      give(cluster, 'n1');
      const packs = cluster.front.hold(puts('n1', 'packs/'));
      const id = await cluster.begins('backup');
      await packs.met;
      await cluster.kill(name);
      packs.letGo();
      expect(await cluster.end(id)).toMatchObject(wentOn);
      expect(await cluster.locked()).toEqual({});
      if (name === 'coordinator') await cluster.launch(name);
    }
  },
  PATIENCE,
);

test(
  'the only coordinator is killed while it takes the lock of an operation that was cancelled: the operation ends as cancelled',
  async () => {
    const root = cluster.front.hold(puts('coordinator', 'roots/'));
    const id = await cluster.begins('cleanup', '--keep-last', '1', '--yes');
    await root.met;
    await cluster.client.workflow.getHandle(id).cancel();
    await cluster.kill('coordinator');
    root.letGo();
    await cluster.launch('coordinator');
    expect(await cluster.end(id)).toMatchObject({ state: 'cancelled' });
    expect(await cluster.locked()).toEqual({});
  },
  PATIENCE,
);

test(
  'the only coordinator is killed in the middle of a cleanup and started again: what was to go is gone, what stays is whole',
  async () => {
    const [newest] = await listed(cluster);
    // The second root is the commit: roots that nobody needs go before it.
    let roots = 0;
    const isRoot = puts('coordinator', 'roots/');
    const deletions = cluster.front.hold((asked) => {
      if (isRoot(asked)) roots++;
      return roots >= 2 && asked.from === 'coordinator' && asked.verb === 'DELETE';
    });
    const id = await cluster.begins('cleanup', '--keep-last', '1', '--yes');
    await deletions.met;
    await cluster.kill('coordinator');
    // What it had sent does not get there: nothing is deleted but by the next attempt.
    deletions.letGo(503);
    await cluster.launch('coordinator');
    expect(await cluster.end(id)).toMatchObject({ state: 'succeeded', error: null });
    expect(await listed(cluster)).toEqual([newest]);
    expect(stored(cluster, 'manifests/')).toHaveLength(1);
    const whole = fingerprint(cluster.root('n3'));
    wipe(cluster.root('n3'));
    await cluster.does('restore', 'latest', '--yes');
    expect(differences(whole, fingerprint(cluster.root('n3')))).toEqual([]);
  },
  PATIENCE,
);

test(
  'all nodes and coordinators are restarted one after another while a backup runs: it goes on',
  async () => {
    give(cluster, 'n1', 'n2', 'n3');
    const packs = cluster.front.hold(({ verb, key }) => verb === 'PUT' && key.startsWith('packs/'));
    const id = await cluster.begins('backup');
    await packs.met;
    for (const name of ['n1', 'n2', 'coordinator', 'n3']) {
      await cluster.shutDown(name);
      await cluster.launch(name);
    }
    packs.letGo();
    expect(await cluster.end(id)).toMatchObject(wentOn);
    expect(await cluster.locked()).toEqual({});
  },
  PATIENCE,
);
