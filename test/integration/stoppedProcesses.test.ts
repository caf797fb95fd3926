import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { makeSampleTree } from '../../src/cli/sampleTree.ts';
import { hasCode } from '../../src/domain/errors.ts';
import { ledTo } from '../../src/storage/garbage.ts';
import { acquireLock, releaseLock } from '../../src/storage/lock.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import type { Order } from '../stops/preload.ts';
import { ProcessCluster } from '../stops/processCluster.ts';
import { holderOf } from '../storage/given.ts';
import { chance } from '../support/chance.ts';
import { comes, ends } from '../support/patience.ts';

/** Real processes that end, or sleep, at one chosen change of a file system or of the storage: some, or many with HOMARUS_LONG=1. */

const all = process.env.HOMARUS_LONG === '1';
const POINTS = all ? 30 : 3;
const LONG = 3600_000;
const TTL = 8_000;
const room = mkdtempSync(join(tmpdir(), 'homarus-orders-'));
let stops: ProcessCluster;

beforeAll(async () => {
  stops = await ProcessCluster.start(room, {
    nodes: ['n1', 'n2'],
    lock: { ttl: `${TTL / 1000}s`, refresh: '1s', heartbeat: '4s', throttle: '500ms' },
  });
  for (const [place, node] of stops.cluster.nodes.entries()) {
    makeSampleTree(stops.cluster.root(node), { seed: place, files: 30 });
  }
  await backUp();
}, LONG);
afterAll(async () => {
  await stops?.stop();
  rmSync(room, { recursive: true, force: true });
}, LONG);

const operations = {
  backup: ['backup'],
  restore: ['restore', 'latest', '--yes'],
  cleanup: ['cleanup', '--keep-last', '1', '--yes'],
} as const;
type Kind = keyof typeof operations;

/** The operation has something to do. */
async function prepare(kind: Kind): Promise<void> {
  const { cluster } = stops;
  for (const node of cluster.nodes) {
    if (kind === 'restore') {
      rmSync(join(cluster.root(node), 'data'), { recursive: true });
    } else {
      writeFileSync(join(cluster.root(node), 'new'), randomBytes(400_000));
      writeFileSync(join(cluster.root(node), `more-${randomBytes(3).toString('hex')}`), randomBytes(9_000));
    }
  }
  if (kind === 'cleanup') await backUp();
}

async function backUp(): Promise<void> {
  const { backup } = (await stops.cluster.does('backup', '--wait-for-lock', '1m')) as { backup: string };
  stops.keep(room, backup);
}

/** Of this operation, the changes that one process makes. */
async function changesOf(kind: Kind, victim: string): Promise<number> {
  await prepare(kind);
  await stops.order(victim, { signal: 'SIGKILL' });
  await stops.cluster.does(...operations[kind]);
  if (kind === 'backup') await keepNewest();
  return stops.order(victim, { signal: 'SIGKILL' });
}

async function keepNewest(): Promise<void> {
  const { root } = await presentRoot(stops.repository);
  stops.keep(room, root.backups.at(-1)!.name);
}

/** All keys of the storage but what holders rewrite. */
async function objects(): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of stops.repository.store.list('')) if (!key.startsWith('leases/')) found.push(key);
  return found;
}

/**
 * The coordinator falls asleep where it is told, its lock runs out, another operation takes it, and it wakes. Answers how
 * its operation ended, and the objects before it woke and afterwards.
 */
async function asleep(kind: Kind, where: Omit<Order, 'signal'>) {
  const { cluster, repository } = stops;
  await prepare(kind);
  await stops.order('coordinator', { signal: 'SIGSTOP', ...where });
  const other = { ...holderOf(`other-${++others}`), ttl: 60_000 };
  try {
    const id = await cluster.begins(...operations[kind]);
    expect(await stops.stopped('coordinator', id)).toBe(true);
    // Held until the lease of the sleeper has run out.
    const epoch = await comes(
      () => 'the lock of the sleeper to run out',
      () =>
        acquireLock(repository, other, { nonce: other.run }).then(
          (taken) => taken.epoch,
          (error: unknown) => {
            if (!hasCode(error, 'LockHeld')) throw error;
            return undefined;
          },
        ),
      { every: 500 },
    );
    const there = await objects();
    const { root } = await presentRoot(repository);
    await cluster.wake('coordinator');
    const ended = await cluster.end(id);
    const left = await objects();
    const now = (await presentRoot(repository)).root;
    expect(now).toEqual(root);
    await releaseLock(repository, epoch, `${other.run} release`);
    return { id, ended, there, left };
  } finally {
    // An order that nothing came of would put the next operation to sleep.
    await stops.pardon('coordinator');
  }
}
let others = 0;

/** Of a cleanup, this is where what it deletes is looked for. */
const looks = 'prefix=east%2Fmanifests';

/** In CI only the second and the last: test/faults/sleepers.test.ts has the first, too. */
const sleeps = [
  ['a backup, before its commit,', 'backup', { before: 'PUT /backups/east/roots/', after: 1 }],
  ['a cleanup, before its commit,', 'cleanup', { before: 'PUT /backups/east/roots/', after: 1 }],
  ['a cleanup, before it looks for what it may delete,', 'cleanup', { before: looks }],
  ['a cleanup, before its first deletion,', 'cleanup', { since: looks, before: '?delete' }],
] as const;

test.each(sleeps.filter((_, place) => all || place % 2 === 1))(
  'a coordinator that slept in %s while another took the lock changes nothing and says that it lost it',
  async (_, kind, where) => {
    const { id, ended, there, left } = await asleep(kind, where);
    expect(ended).toMatchObject({ state: 'failed', error: { code: 'LockLost' } });
    const gone = there.filter((key) => !left.includes(key) && !key.includes(id));
    if ('since' in where) {
      // What was on its way arrives: it is garbage for ever.
      const led = await ledTo(stops.repository, (await presentRoot(stops.repository)).root);
      expect(gone.filter((key) => led.has(key) || key.startsWith('roots/'))).toEqual([]);
    } else {
      expect(gone).toEqual([]);
    }
    await backUp();
  },
  LONG,
);

test(
  'processes that end anywhere harm no backup, the operation goes on or can be done again, and nothing stays behind',
  async () => {
    const { cluster } = stops;
    const kinds: [Kind, string][] = [
      ['backup', 'n1'],
      ['backup', 'coordinator'],
      ['restore', 'n2'],
      ['cleanup', 'coordinator'],
      ['backup', 'n2'],
      ['restore', 'coordinator'],
    ];
    const most = new Map<string, number>();
    const faults: string[] = [];
    let ran = 0;
    for (let point = 0; point < POINTS; point++) {
      const [kind, victim] = kinds[point % kinds.length]!;
      const name = `${kind} ${victim}`;
      if (!most.has(name)) most.set(name, await changesOf(kind, victim));
      const at = 1 + Math.floor(chance() * most.get(name)!);
      await prepare(kind);
      const { number, backups } = (await presentRoot(stops.repository)).root;
      await stops.order(victim, { signal: 'SIGKILL', at });
      const id = await cluster.begins(...operations[kind]);
      if (await stops.stopped(victim, id)) {
        ran++;
        await ends(() => `${victim} to die`, cluster.process(victim).exited);
        await cluster.launch(victim);
      }
      const hit = `${name}, at ${at} of ${most.get(name)} (${stops.hit(victim)})`;
      const { state, error } = await cluster.end(id);
      process.stdout.write(`${hit}: ${state} ${error?.code ?? ''}\n`);
      const now = (await presentRoot(stops.repository)).root;
      if (now.number < number) faults.push(`${hit}: the root went back`);
      if (kind === 'backup' && now.backups.length > backups.length) await keepNewest();
      if (state !== 'succeeded') await cluster.does(...operations[kind], '--wait-for-lock', '1m');
      if (kind === 'backup' && state !== 'succeeded') await keepNewest();
      faults.push(...(await stops.faults(room, all ? undefined : 2)).map((fault) => `${hit}: ${fault}`));
    }
    await backUp();
    await cluster.does(...operations.cleanup);
    process.stdout.write(`stops of real processes: ${ran} points were run\n`);
    expect(faults).toEqual([]);
    expect(await stops.faults(room)).toEqual([]);
    expect(await stops.garbage()).toEqual([]);
    expect(ran).toBeGreaterThanOrEqual(all ? POINTS / 2 : 1);
    for (const name of readdirSync(room)) if (/^20/.test(name)) rmSync(join(room, name), { recursive: true });
  },
  LONG,
);
