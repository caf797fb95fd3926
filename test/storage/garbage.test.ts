import { beforeEach, describe, expect, test } from '@jest/globals';
import type { RootDocument } from '../../src/domain/documents.ts';
import { keys } from '../../src/domain/documents.ts';
import { readBackup, readManifest } from '../../src/storage/backups.ts';
import type { LeftOut, Orphan } from '../../src/storage/garbage.ts';
import { cleaned, findOrphans, needsSweep, raiseFloor } from '../../src/storage/garbage.ts';
import { acquireLock, releaseLock } from '../../src/storage/lock.ts';
import { pin } from '../../src/storage/marks.ts';
import type { Repository } from '../../src/storage/repository.ts';
import type { RootAt } from '../../src/storage/roots.ts';
import { commit, presentRoot } from '../../src/storage/roots.ts';
import { sweep } from '../../src/storage/sweep.ts';
import { backupOf, givenBackup, givenPack, givenRepository, holderOf } from './given.ts';
import type { ScriptedStore } from './scripted.ts';

let store: ScriptedStore;
let repository: Repository;

beforeEach(async () => {
  ({ store, repository } = await givenRepository());
});

const lock = (operation = 'cleanup') =>
  acquireLock(repository, { ...holderOf(operation), ttl: 0 }, { nonce: operation });
const root = async (): Promise<RootDocument> => (await presentRoot(repository)).root;
const drop = (...names: string[]): LeftOut => ({ backups: new Set(names) });

async function cleanAndStay(at: RootAt, leftOut: LeftOut, nonce = 'cleaned'): Promise<RootAt> {
  const outcome = await commit(repository, at, (draft) => cleaned(draft, leftOut), nonce);
  if (outcome.result === 'lost') throw new Error('lost');
  return outcome.at;
}

/** A whole cleanup. */
async function cleanUp(leftOut: LeftOut, nonce = 'cleanup') {
  const { at, epoch } = await lock(nonce);
  const present = await cleanAndStay(at, leftOut, `${nonce} cleaned`);
  const swept = needsSweep(present.root) ? await sweep(repository, present, epoch) : undefined;
  await releaseLock(repository, epoch, `${nonce} release`, { swept: true });
  return swept;
}

async function orphans(at: RootDocument): Promise<Orphan[]> {
  const found: Orphan[] = [];
  for await (const orphan of findOrphans(repository, at)) found.push(orphan);
  return found;
}

describe('the floor', () => {
  const at = (backups: number[], floor = 0): RootDocument =>
    ({ floor, epoch: 9, backups: backups.map((epoch) => backupOf(`b${epoch}`, epoch)) }) as RootDocument;

  test('is the highest epoch among the listed backups and what is left out, and never falls', () => {
    expect(raiseFloor(at([2, 5]), [])).toBe(5);
    expect(raiseFloor(at([2, 5]), [7, 1])).toBe(7);
    expect(raiseFloor(at([2, 5], 6), [])).toBe(6);
    expect(raiseFloor(at([]), [])).toBe(0);
  });

  test('of a cleanup of orphans is its own epoch', () => {
    expect(raiseFloor(at([2, 5]), [], true)).toBe(9);
  });

  test('is raised by the backups that are left out, too', async () => {
    await givenBackup(repository, 'a', [['one']]);
    const { at: locked } = await lock();
    expect(cleaned(locked.root, drop('a'))).toMatchObject({ floor: 1, backups: [], swept: 0 });
  });

  test('leaves what is left out below it to the next sweep', async () => {
    const { entry } = await givenBackup(repository, 'a', [['one']]);
    await givenBackup(repository, 'b', [['two']]);
    await cleanUp(drop());
    expect(await root()).toMatchObject({ floor: 2, swept: 2 });
    await cleanUp(drop('a'), 'second');
    expect(store.keys('manifests/')).not.toContain(keys.manifest('a', entry.id));
    expect(await root()).toMatchObject({ floor: 2, swept: 2 });
  });

  test('forgets the damage of what is left out', async () => {
    const { entry, packs, index } = await givenBackup(repository, 'a', [['one']]);
    const other = await givenBackup(repository, 'b', [['two']]);
    const ids = [entry.id, packs[0]?.id, index?.id, other.entry.id];
    const { root: now } = (await lock()).at;
    const damaged = ids.map((id) => ({ kind: 'pack', id: id as string }) as const);
    const leftOut = { ...drop('a'), indexes: now.indexes.slice(1), packs: packs.map(({ id }) => id) };
    expect(cleaned({ ...now, damaged }, leftOut).damaged).toEqual([{ kind: 'pack', id: other.entry.id }]);
  });
});

describe('a sweep', () => {
  test('deletes what the root does not lead to and nothing else: manifests, then indexes, then packs', async () => {
    const gone = await givenBackup(repository, 'a', [['one'], ['two']]);
    const stays = await givenBackup(repository, 'b', [['three']]);
    const { at, epoch } = await lock();
    const leftOut = { ...drop('a'), indexes: at.root.indexes.slice(1), packs: gone.packs.map(({ id }) => id) };
    const present = await cleanAndStay(at, leftOut);
    store.calls.length = 0;
    expect(await sweep(repository, present, epoch)).toMatchObject({ deleted: 6, retained: 0 });
    expect(store.keys('manifests/')).toEqual([keys.manifest('b', stays.entry.id)]);
    expect(store.keys('indexes/')).toEqual([keys.index(stays.index?.id as string)]);
    expect(store.keys('packs/')).toEqual([keys.pack(stays.packs[0]?.id as string)]);
    const removed = store.calls.filter(({ verb }) => verb === 'remove').map(({ key }) => key.split('/')[0]);
    expect(removed).toEqual(['manifests', 'indexes', 'packs', 'leases']);
    expect(await readManifest(repository, stays.entry)).toMatchObject({ name: 'b' });
  });

  test('leaves what a died backup stored above the floor', async () => {
    await givenBackup(repository, 'a', [['one']]);
    const died = await givenBackup(repository, 'died', [['two']], { dies: true });
    await cleanUp(drop());
    expect(store.keys('packs/')).toContain(keys.pack(died.packs[0]?.id as string));
    await givenBackup(repository, 'b', [['three']]);
    await cleanUp(drop(), 'second');
    expect(store.keys('packs/')).not.toContain(keys.pack(died.packs[0]?.id as string));
    expect(store.keys('manifests/')).toHaveLength(2);
  });

  test('of orphans deletes that, too', async () => {
    await givenBackup(repository, 'a', [['one']]);
    await givenBackup(repository, 'died', [['two']], { dies: true });
    await cleanUp({ ...drop(), orphans: true });
    expect(store.keys('packs/')).toHaveLength(1);
    expect(await root()).toMatchObject({ floor: 3, swept: 3 });
  });

  test('by a stale sweeper deletes nothing', async () => {
    await givenBackup(repository, 'a', [['one']]);
    const { at, epoch } = await lock();
    const present = await cleanAndStay(at, drop('a'));
    await lock('other');
    const before = new Map(store.objects);
    await expect(sweep(repository, present, epoch)).rejects.toMatchObject({ code: 'LockLost' });
    expect(store.objects).toEqual(before);
  });

  test('that loses its lock in the middle deletes no more', async () => {
    await givenBackup(repository, 'a', [['one']]);
    const { at, epoch } = await lock();
    const present = await cleanAndStay(at, { ...drop('a'), indexes: [] });
    const packs = store.keys('packs/');
    store.next('list', 'packs/', async (pass) => {
      const answer = pass();
      await lock('other');
      return answer;
    });
    await expect(sweep(repository, present, epoch)).rejects.toMatchObject({ code: 'LockLost' });
    expect(store.keys('manifests/')).toEqual([]);
    expect(store.keys('packs/')).toEqual(packs);
  });

  test('of the loser of a race does not begin', async () => {
    await givenBackup(repository, 'a', [['one']]);
    const { at } = await lock();
    await lock('other');
    store.calls.length = 0;
    const outcome = await commit(repository, at, (draft) => cleaned(draft, drop('a')), 'late');
    expect(outcome).toMatchObject({ result: 'lost', highest: { root: { backups: [{ name: 'a' }] } } });
    expect(store.calls.filter(({ verb }) => verb === 'remove')).toEqual([]);
  });

  test('removes staging and leases of lower epochs only, and unfinished uploads from before its root', async () => {
    const { epoch: first } = await lock('first');
    const { at, epoch } = await lock('second');
    for (const one of [first, epoch, epoch + 1]) store.put(`${keys.staging(one, 'x')}n1/chunks`, Buffer.alloc(1));
    store.put(keys.lease(epoch + 1), Buffer.alloc(1));
    await sweep(repository, at, epoch);
    expect(store.keys('staging/')).toEqual([epoch, epoch + 1].map((one) => `${keys.staging(one, 'x')}n1/chunks`));
    expect(store.keys('leases/')).toEqual([keys.lease(epoch), keys.lease(epoch + 1)]);
    expect(store.unfinishedBefore).toBe(store.clock - 1000);
  });

  test('removes the marks of backups that are gone', async () => {
    await givenBackup(repository, 'a', [['one']]);
    await givenBackup(repository, 'b', [['two']]);
    await pin(repository, 'a', { by: 'ann' });
    const kept = await pin(repository, 'b', { by: 'ann' });
    await cleanUp(drop('a'));
    expect(store.keys('marks/')).toEqual([kept.key]);
  });

  test('counts what an object lock holds back, and does not fail', async () => {
    const { entry } = await givenBackup(repository, 'a', [['one']]);
    const key = keys.manifest('a', entry.id);
    store.retained.add(key);
    const size = store.objects.get(keys.lease(1))?.body.length;
    expect(await cleanUp(drop('a'))).toEqual({ deleted: 1, bytes: size, retained: 1 });
    expect(store.keys('manifests/')).toEqual([key]);
  });

  test('goes through more than one batch', async () => {
    for (let count = 0; count < 2500; count++) {
      store.put(`packs/${String(1).padStart(16, '0')}/${String(count).padStart(16, '0')}`, Buffer.alloc(1));
    }
    expect(await cleanUp({ ...drop(), orphans: true })).toMatchObject({ deleted: 2500, bytes: 2500 });
    expect(store.keys('packs/')).toEqual([]);
  });

  test('that was stopped anywhere is finished by the next cleanup', async () => {
    await givenBackup(repository, 'a', [['one'], ['two']]);
    const { at, epoch } = await lock();
    const present = await cleanAndStay(at, { ...drop('a'), indexes: [] });
    store.next('remove', 'indexes/', () => Promise.reject(new Error('killed')));
    await expect(sweep(repository, present, epoch)).rejects.toThrow('killed');
    await cleanUp(drop(), 'next');
    expect([...store.keys('manifests/'), ...store.keys('indexes/'), ...store.keys('packs/')]).toEqual([]);
  });

  test('with nothing to do is not even begun: nothing is listed but roots', async () => {
    await givenBackup(repository, 'a', [['one']]);
    await cleanUp(drop());
    store.calls.length = 0;
    await cleanUp(drop(), 'second');
    const listed = store.calls.filter(({ verb }) => verb === 'list').map(({ key }) => key);
    expect(new Set(listed)).toEqual(new Set(['roots/']));
  });

  test('deletes nothing while an index that the root names cannot be read', async () => {
    const { index } = await givenBackup(repository, 'a', [['one']]);
    await givenBackup(repository, 'b', [['two']]);
    (store.objects.get(keys.index(index?.id as string))?.body as Buffer)[30]! ^= 1;
    const body = store.objects.get(keys.index(index?.id as string))?.body as Buffer;
    body[body.length - 20]! ^= 1;
    await expect(cleanUp(drop('b'))).rejects.toMatchObject({ code: 'ObjectDamaged' });
    expect(store.keys('packs/')).toHaveLength(2);
  });
});

describe('adoption', () => {
  test('finds whole packs above the floor that no index names, with their entries', async () => {
    await givenBackup(repository, 'a', [['one']]);
    const died = await givenBackup(repository, 'died', [['two', 'three'], ['four']], { dies: true });
    const found = await orphans((await lock('next')).at.root);
    expect(found.map(({ pack }) => pack)).toEqual([...died.packs].sort((a, b) => (a.id < b.id ? -1 : 1)));
    expect(found.reduce((all, { entries }) => all + entries.length, 0)).toBe(3 * 52);
  });

  test('never takes what is at or below the floor', async () => {
    await givenBackup(repository, 'a', [['one']]);
    await givenBackup(repository, 'died', [['two']], { dies: true });
    const { at, epoch } = await lock();
    const present = await cleanAndStay(at, { ...drop(), orphans: true });
    expect(await orphans(present.root)).toEqual([]);
    await givenPack(repository, epoch, ['late, of the floor itself']);
    expect(await orphans(present.root)).toEqual([]);
    const above = await givenPack(repository, epoch + 1, ['later']);
    expect((await orphans(present.root)).map(({ pack }) => pack)).toEqual([above.pack]);
  });

  test('ignores packs that do not verify and those that the root calls damaged', async () => {
    const died = await givenBackup(repository, 'died', [['one'], ['two'], ['three'], ['four']], { dies: true });
    const [cut, altered, known, whole] = died.packs.map(({ id }) => id) as [string, string, string, string];
    store.put(keys.pack(cut), store.objects.get(keys.pack(cut))?.body.subarray(0, 40) as Buffer);
    const body = store.objects.get(keys.pack(altered))?.body as Buffer;
    body[body.length - 30]! ^= 1;
    store.put('packs/0000000000000001/.tmp', Buffer.alloc(3));
    const at = { ...(await root()), damaged: [{ kind: 'pack', id: known }] } as RootDocument;
    expect((await orphans(at)).map(({ pack }) => pack.id)).toEqual([whole]);
  });
});

describe('a reader without the lock', () => {
  test('goes on by the present root when an object is missing and the backup is still listed', async () => {
    await givenBackup(repository, 'a', [['one']]);
    const old = await presentRoot(repository);
    await givenBackup(repository, 'b', [['two']]);
    const seen: number[] = [];
    const answer = await readBackup(repository, old, 'a', async (at, entry) => {
      seen.push(at.root.number);
      return at === old ? readManifest(repository, { ...entry, id: 'moved' }) : readManifest(repository, entry);
    });
    expect(answer).toMatchObject({ name: 'a' });
    expect(seen).toEqual([old.root.number, old.root.number + 2]);
  });

  test('is told by name that its backup was removed', async () => {
    await givenBackup(repository, 'a', [['one']]);
    const old = await presentRoot(repository);
    await cleanUp(drop('a'));
    await expect(readBackup(repository, old, 'a', (_, entry) => readManifest(repository, entry))).rejects.toMatchObject(
      { code: 'BackupRemoved', message: 'backup a is not listed any more' },
    );
  });

  test('is told what is missing when the present root names it', async () => {
    const { entry } = await givenBackup(repository, 'a', [['one']]);
    store.objects.delete(keys.manifest('a', entry.id));
    await expect(
      readBackup(repository, await presentRoot(repository), 'a', (_, one) => readManifest(repository, one)),
    ).rejects.toMatchObject({ code: 'ObjectMissing', message: expect.stringContaining(keys.manifest('a', entry.id)) });
  });

  test('is not given another manifest than the one that the root names', async () => {
    const [a, b] = [await givenBackup(repository, 'a', [['one']]), await givenBackup(repository, 'b', [['two']])];
    await expect(readManifest(repository, { ...a.entry, manifest: b.entry.manifest })).rejects.toMatchObject({
      code: 'ObjectDamaged',
    });
  });
});
