import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Holder, RootDocument } from '../../src/domain/documents.ts';
import { keys } from '../../src/domain/documents.ts';
import { hasCode } from '../../src/domain/errors.ts';
import { acquireLock, refreshLock, released, releaseLock } from '../../src/storage/lock.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { commit, presentRoot } from '../../src/storage/roots.ts';
import { backupOf, givenRepository, holderOf } from './given.ts';
import type { ScriptedStore } from './scripted.ts';
import { unreachable } from './scripted.ts';

let store: ScriptedStore;
let repository: Repository;

beforeEach(async () => {
  ({ store, repository } = await givenRepository());
});

const acquire = (holder: Holder) => acquireLock(repository, holder, { nonce: `lock ${holder.run}` });
const [nightly, manual] = [holderOf('nightly'), holderOf('manual')];

describe('taking the lock', () => {
  test('raises the epoch, names the holder and writes a lease', async () => {
    const { at, epoch } = await acquire(nightly);
    expect(epoch).toBe(1);
    expect(at.root).toMatchObject({ number: 2, epoch: 1, holder: nightly });
    expect(JSON.parse(store.objects.get(keys.lease(1))?.body.toString() as string)).toMatchObject({
      version: 1,
      epoch: 1,
      holder: nightly,
      ttl: 120_000,
    });
  });

  test('is refused while another holds it, and says who', async () => {
    await acquire(nightly);
    store.clock += 119_000;
    await expect(acquire(manual)).rejects.toMatchObject({
      code: 'LockHeld',
      message: 'cluster "east" is locked by backup nightly (by cron), since 2025-01-01T00:00:01.000Z',
    });
    expect((await presentRoot(repository)).root).toMatchObject({ epoch: 1, holder: nightly });
  });

  test('waits a lock time after the last refresh, by the clock of the storage', async () => {
    const { epoch } = await acquire(nightly);
    store.clock += 100_000;
    expect(await refreshLock(repository, epoch, nightly)).toBe('refreshed');
    store.clock += 119_000;
    await expect(acquire(manual)).rejects.toMatchObject({ code: 'LockHeld' });
    store.clock += 1_000;
    expect(await acquire(manual)).toMatchObject({ epoch: 2 });
  });

  test('gives a holder without a lease one lock time', async () => {
    store.next('overwrite', 'leases/', () => Promise.reject(unreachable()));
    await expect(acquire(nightly)).rejects.toMatchObject({ code: 'StoreUnreachable' });
    store.clock += 119_000;
    await expect(acquire(manual)).rejects.toMatchObject({ code: 'LockHeld' });
    store.clock += 1_000;
    expect(await acquire(manual)).toMatchObject({ epoch: 2 });
  });

  test('once more by the same run answers its own epoch and writes the lease that is missing', async () => {
    store.next('overwrite', 'leases/', () => Promise.reject(unreachable()));
    await expect(acquire(nightly)).rejects.toMatchObject({ code: 'StoreUnreachable' });
    expect(await acquire(nightly)).toMatchObject({ epoch: 1, at: { root: { number: 2 } } });
    expect(store.keys('leases/')).toEqual([keys.lease(1)]);
  });

  test('by the next attempt of one operation waits for nobody and has a higher epoch', async () => {
    await acquire(holderOf('nightly', 1));
    expect(await acquire(holderOf('nightly', 2))).toMatchObject({ epoch: 2 });
    await expect(acquire(holderOf('nightly', 1))).rejects.toMatchObject({ code: 'LockHeld' });
  });

  test('by one of two at once leaves the other refused', async () => {
    const answers = await Promise.allSettled([acquire(nightly), acquire(manual)]);
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(answers.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'LockHeld' } });
  });

  test('is only for the cluster that the root names', async () => {
    await expect(acquireLock(repository, nightly, { nonce: 'n', cluster: 'west' })).rejects.toMatchObject({
      code: 'ForeignRepository',
    });
    const { at } = await acquire(nightly);
    const adopted = (draft: RootDocument) => released({ ...draft, cluster: 'west' });
    await commit(repository, at, adopted, 'adopt');
    await expect(acquire(manual)).rejects.toMatchObject({ code: 'ForeignRepository' });
    expect(await acquireLock(repository, manual, { nonce: 'n', cluster: 'west' })).toMatchObject({ epoch: 2 });
  });
});

describe('a holder that was superseded', () => {
  test('is told so when it refreshes, writes no lease and commits nothing', async () => {
    const { at, epoch } = await acquire(nightly);
    store.clock += 120_000;
    await acquire(manual);
    store.calls.length = 0;
    await expect(refreshLock(repository, epoch, nightly)).rejects.toMatchObject({
      code: 'LockLost',
      message:
        'the lock of cluster "east" (epoch 1) was lost: it is at epoch 2 and ' +
        'now held by backup manual (by cron), since 2025-01-01T00:00:01.000Z',
    });
    expect(store.calls.map(({ verb }) => verb)).not.toContain('overwrite');
    expect(await commit(repository, at, (draft) => draft, 'late')).toMatchObject({ result: 'lost' });
  });

  test('releases nothing', async () => {
    const { epoch } = await acquire(nightly);
    store.clock += 120_000;
    await acquire(manual);
    await releaseLock(repository, epoch, 'release');
    expect((await presentRoot(repository)).root.holder).toEqual(manual);
  });
});

describe('giving the lock back', () => {
  test('leaves no holder, may be repeated, and frees it for the next', async () => {
    const { epoch } = await acquire(nightly);
    await releaseLock(repository, epoch, 'release');
    await releaseLock(repository, epoch, 'release');
    expect((await presentRoot(repository)).root).toMatchObject({ number: 3, epoch: 1, holder: null });
    expect(await acquire(manual)).toMatchObject({ epoch: 2 });
  });

  test('takes the number of a sleeping commit of the same attempt', async () => {
    const { at, epoch } = await acquire(nightly);
    await releaseLock(repository, epoch, 'release');
    const late = (draft: RootDocument) => ({ ...draft, backups: [backupOf('late', epoch)] });
    expect(await commit(repository, at, late, 'late')).toMatchObject({ result: 'lost' });
    expect((await presentRoot(repository)).root.backups).toEqual([]);
  });

  test('goes on from a commit of its own that came between', async () => {
    const { at, epoch } = await acquire(nightly);
    store.next('create', 'roots/', async (pass) => {
      await commit(repository, at, (draft) => ({ ...draft, backups: [backupOf('late', epoch)] }), 'late');
      return pass();
    });
    await releaseLock(repository, epoch, 'release');
    expect((await presentRoot(repository)).root).toMatchObject({
      number: 4,
      holder: null,
      backups: [{ name: 'late' }],
    });
  });

  test('ends the refreshing without a new lease', async () => {
    const { epoch } = await acquire(nightly);
    await releaseLock(repository, epoch, 'release');
    store.objects.delete(keys.lease(epoch));
    expect(await refreshLock(repository, epoch, nightly)).toBe('released');
    expect(store.keys('leases/')).toEqual([]);
  });

  test('may say that all garbage up to the floor is gone', async () => {
    const { at, epoch } = await acquire(nightly);
    await commit(repository, at, (draft) => ({ ...draft, floor: 1 }), 'floor');
    await releaseLock(repository, epoch, 'release', { swept: true });
    expect((await presentRoot(repository)).root).toMatchObject({ floor: 1, swept: 1 });
  });
});

test('whatever is interleaved, delayed, lost or repeated: what was told to stand is listed, what was told to be lost is not', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.array(fc.constantFrom('answered', 'answered', 'lost answer', 'delayed'), { minLength: 12, maxLength: 12 }),
      fc.integer({ min: 2, max: 4 }),
      async (scheduler, fates, actors) => {
        ({ store, repository } = await givenRepository());
        const told = new Map<string, 'stands' | 'lost' | 'in doubt'>();
        const delayed: Promise<unknown>[] = [];
        const step = async ({ verb }: { verb: string }) => {
          await scheduler.schedule(Promise.resolve(), verb);
        };
        for (const fate of fates) {
          store.next('create', 'roots/', async (pass) => {
            if (fate === 'answered') return pass();
            if (fate === 'lost answer') await pass();
            else delayed.push(scheduler.schedule(Promise.resolve(), 'delayed').then(pass));
            throw unreachable();
          });
        }
        store.step = step;
        const actor = async (number: number): Promise<void> => {
          const name = `backup${number}`;
          // Impatient: everybody supersedes everybody at any time, the clock protects nobody.
          const holder = { ...holderOf(name), ttl: 0 };
          try {
            const { at, epoch } = await acquireLock(repository, holder, { nonce: `lock${number}`, patience: 0 });
            const change = (draft: RootDocument) =>
              released({ ...draft, backups: [...draft.backups, backupOf(name, epoch)] });
            const outcome = await commit(repository, at, change, `commit${number}`, { patience: 0 });
            const listed =
              outcome.result === 'lost' && outcome.highest.root.backups.some((entry) => entry.name === name);
            told.set(name, outcome.result === 'stands' || listed ? 'stands' : 'lost');
          } catch (error) {
            if (!hasCode(error, 'CommitInDoubt', 'LockHeld')) throw error;
            told.set(name, 'in doubt');
          }
        };
        const all = Promise.all(Array.from({ length: actors }, (_, number) => actor(number)));
        await scheduler.waitFor(all);
        await scheduler.waitAll();
        await Promise.all(delayed);
        store.step = async () => {};
        const { root } = await presentRoot(repository);
        const listed = root.backups.map(({ name }) => name);
        for (const [name, outcome] of told) {
          if (outcome === 'stands') expect(listed).toContain(name);
          if (outcome === 'lost') expect(listed).not.toContain(name);
        }
        expect(new Set(listed).size).toBe(listed.length);
      },
    ),
    { numRuns: 150 },
  );
});
