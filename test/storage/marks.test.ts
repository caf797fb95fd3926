import { beforeEach, describe, expect, test } from '@jest/globals';
import type { RootDocument } from '../../src/domain/documents.ts';
import { acquireLock, released, releaseLock } from '../../src/storage/lock.ts';
import { drillPace, latestDrills, listMarks, noteDrill, pin, pinnedBackups, unpin } from '../../src/storage/marks.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { commit } from '../../src/storage/roots.ts';
import { backupOf, givenRepository, holderOf } from './given.ts';
import type { ScriptedStore } from './scripted.ts';

let store: ScriptedStore;
let repository: Repository;

beforeEach(async () => {
  ({ store, repository } = await givenRepository());
  const { at } = await acquireLock(repository, holderOf('nightly'), { nonce: 'lock' });
  await commit(repository, at, (draft) => released({ ...draft, backups: [backupOf('a', 1), backupOf('b', 1)] }), 'n1');
});

const cleanup = () => acquireLock(repository, { ...holderOf('cleanup'), kind: 'cleanup' }, { nonce: 'cleanup' });
const withoutA = (draft: RootDocument) => ({ ...draft, backups: draft.backups.filter(({ name }) => name !== 'a') });

describe('a pin', () => {
  test('is set, listed and removed without the lock', async () => {
    const { at } = await acquireLock(repository, holderOf('manual'), { nonce: 'lock2' });
    await pin(repository, 'a', { by: 'ann', note: 'before the move' });
    await pin(repository, 'a', { by: 'bob' });
    expect(await listMarks(repository)).toMatchObject([
      { backup: 'a', kind: 'pin', by: expect.stringMatching('ann|bob') },
      { backup: 'a' },
    ]);
    expect([...(await pinnedBackups(repository)).keys()]).toEqual(['a']);
    expect(await unpin(repository, 'b')).toBe(0);
    expect(await unpin(repository, 'a')).toBe(2);
    expect((await pinnedBackups(repository)).size).toBe(0);
    await releaseLock(repository, at.root.epoch, 'release');
  });

  test('may end by itself: of several the longest counts', async () => {
    const untilOf = async (): Promise<unknown> => (await pinnedBackups(repository)).get('a');
    await pin(repository, 'a', { by: 'ann', until: '2027-01-01T00:00:00.000Z' });
    await pin(repository, 'a', { by: 'bob', until: '2026-12-01T00:00:00.000Z' });
    expect(await untilOf()).toEqual({ until: '2027-01-01T00:00:00.000Z' });
    await pin(repository, 'a', { by: 'eve' });
    expect(await untilOf()).toEqual({ until: null });
    await pin(repository, 'a', { by: 'ann', until: '2028-01-01T00:00:00.000Z' });
    expect(await untilOf()).toEqual({ until: null });
  });

  test('of a backup that is not listed is refused', async () => {
    await expect(pin(repository, 'c', { by: 'ann' })).rejects.toMatchObject({ code: 'BackupNotFound' });
    expect(store.keys('marks/')).toEqual([]);
  });

  test('is not reported as set while a cleanup may have looked before it', async () => {
    const { at, epoch } = await cleanup();
    expect((await pinnedBackups(repository)).size).toBe(0);
    await expect(pin(repository, 'a', { by: 'ann' })).rejects.toMatchObject({
      code: 'LockHeld',
      message: expect.stringContaining('backup a has its pin, but may still be removed by cleanup cleanup'),
    });
    await commit(repository, at, withoutA, 'cleaned');
    await releaseLock(repository, epoch, 'release');
  });

  test('is not reported as set when its backup was removed meanwhile', async () => {
    store.next('create', 'marks/', async (pass) => {
      const { at, epoch } = await cleanup();
      await commit(repository, at, withoutA, 'cleaned');
      await releaseLock(repository, epoch, 'release');
      return pass();
    });
    await expect(pin(repository, 'a', { by: 'ann' })).rejects.toMatchObject({ code: 'BackupRemoved' });
  });

  test('waits for a cleanup that ends in time', async () => {
    const { epoch } = await cleanup();
    const pinned = pin(repository, 'a', { by: 'ann', patience: 60_000 });
    await releaseLock(repository, epoch, 'release');
    expect(await pinned).toMatchObject({ backup: 'a' });
  });

  test('that was damaged protects its backup still, and can be removed', async () => {
    const { key } = await pin(repository, 'a', { by: 'ann' });
    (store.objects.get(key)?.body as Buffer)[20]! ^= 1;
    expect([...(await pinnedBackups(repository)).keys()]).toEqual(['a']);
    expect(await unpin(repository, 'a')).toBe(1);
  });
});

describe('a drill', () => {
  const record = (expectedMs: number, ok = true) => ({
    ...{ operation: 'drill-1', ok, percent: 100, files: 1, bytes: 1, fetchedBytes: 1 },
    ...{ tookMs: 1, expectedMs, checked: false },
  });

  test('is kept with its backup, the latest one counts, and pins nothing', async () => {
    expect(await drillPace(repository, {})).toBeNull();
    await noteDrill(repository, 'a', { by: 'ann', drill: record(10) });
    await noteDrill(repository, 'a', { by: 'bob', drill: record(20) });
    await noteDrill(repository, 'b', { by: 'eve', drill: record(30, false) });
    const drills = latestDrills(await listMarks(repository));
    expect(drills.get('b')).toMatchObject({ ok: false, by: 'eve' });
    expect((await pinnedBackups(repository)).size).toBe(0);
    // One that failed says nothing of how long a restore takes.
    expect(await drillPace(repository, {})).toEqual({
      bytes: backupOf('a', 1).bytes,
      expectedMs: drills.get('a')!.expectedMs,
    });
    expect(await unpin(repository, 'a')).toBe(0);
    expect((await listMarks(repository)).length).toBe(3);
  });

  test('of a backup that is gone is not kept', async () => {
    await noteDrill(repository, 'c', { by: 'ann', drill: record(10) });
    expect(store.keys('marks/')).toEqual([]);
  });
});
