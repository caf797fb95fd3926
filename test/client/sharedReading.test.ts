import { expect, test } from '@jest/globals';
import { SharedReading } from '../../src/client/sharedReading.ts';
import { pin } from '../../src/storage/marks.ts';
import { givenBackup, givenRepository } from '../storage/given.ts';

test('many who ask at once share a look, and nobody is answered from before he asked', async () => {
  const { store, repository } = await givenRepository();
  const shared = new SharedReading(async () => repository);
  await givenBackup(repository, '2026-11-23T03-15-00Z', [['a']]);
  store.calls.length = 0;
  const first = shared.look();
  // The first look is under way; these are answered by one that begins after them.
  const later = Array.from({ length: 50 }, () => shared.look());
  await first;
  await givenBackup(repository, '2026-11-24T03-15-00Z', [['b']]);
  const after = shared.look();
  expect((await after).backups.map(({ name }) => name)[0]).toBe('2026-11-24T03-15-00Z');
  expect(new Set(await Promise.all(later)).size).toBe(1);
});

test('nothing is read again that did not change, and a pin is a change', async () => {
  const { store, repository } = await givenRepository();
  const shared = new SharedReading(async () => repository);
  await givenBackup(repository, '2026-11-23T03-15-00Z', [['a']]);
  await pin(repository, '2026-11-23T03-15-00Z', { by: 'x' });
  const seen = await shared.look();
  store.calls.length = 0;
  expect(await shared.look()).toBe(seen);
  expect(store.calls.map(({ verb }) => verb)).toEqual(['list', 'list']);
  await pin(repository, '2026-11-23T03-15-00Z', { by: 'x', until: '2099-01-01T00:00:00Z' });
  const changed = await shared.look();
  expect(changed.version).not.toBe(seen.version);
  expect(changed.backups).toMatchObject([{ pinned: true, pinnedUntil: null }]);
});

test('what was put in the place of a repository is seen', async () => {
  let { repository } = await givenRepository();
  const shared = new SharedReading(async () => repository);
  await givenBackup(repository, '2026-11-23T03-15-00Z', [['a']]);
  expect((await shared.look()).backups.length).toBe(1);
  const former = repository;
  ({ repository } = await givenRepository());
  for await (const { key } of former.store.list('')) await former.store.remove([key]);
  expect((await shared.look()).backups).toEqual([]);
});
