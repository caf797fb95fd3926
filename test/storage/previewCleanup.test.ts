import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { rotateDataKey } from '../../src/storage/keyChanges.ts';
import { previewCleanup } from '../../src/storage/previewCleanup.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import { encrypted, givenBackup, givenRepository, removeBackups } from './given.ts';
import type { ScriptedStore } from './scripted.ts';

/** What a dry run says is what the cleanup then does. */

const limits = { maxUnused: 0.05, maxRepackBytes: null };
let store: ScriptedStore;
let repository: Repository;
let directory: string;

beforeEach(async () => {
  ({ store, repository } = await givenRepository({ ...encrypted, pack: { size: 4096, block: 64 } }));
  directory = mkdtempSync(join(tmpdir(), 'homarus-preview-'));
});
afterEach(() => {
  expect(readdirSync(directory)).toEqual([]);
  rmSync(directory, { recursive: true });
});

const contents = (name: string): string[] => Array.from({ length: 10 }, (_, place) => name.repeat(150) + place);
const preview = async (...going: string[]) => {
  const { changes } = store;
  const { root } = await presentRoot(repository);
  const told = await previewCleanup(repository, root, { going: new Set(going), limits }, { directory });
  expect(store.changes).toBe(changes);
  return told;
};
const packs = () => new Map(store.keys('packs/').map((key) => [key, store.objects.get(key)!.body.length]));
/** Number and bytes of the packs that went since. */
function gone(before: Map<string, number>): { packs: number; bytes: number } {
  const left = packs();
  const sizes = [...before].filter(([key]) => !left.has(key)).map(([, size]) => size);
  return { packs: sizes.length, bytes: sizes.reduce((all, size) => all + size, 0) };
}

test('packs that go, and those that are rewritten, are told before', async () => {
  await givenBackup(repository, 'a', [contents('a'), contents('b')]);
  await givenBackup(repository, 'b', [], { contents: contents('b').slice(0, 2) });
  const told = (await preview('a'))!;
  expect(told).toMatchObject({ dropped: { packs: 1 }, rewritten: { packs: 1 }, formerKeys: { packs: 0 } });
  expect(told.rewritten.used).toBeLessThan(told.rewritten.bytes / 2);
  const before = packs();
  expect(await removeBackups(repository, ['a'], { name: 'cleanup', directory })).toMatchObject({ rewrittenPacks: 1 });
  const { dropped, rewritten } = told;
  expect(gone(before)).toEqual({ packs: 2, bytes: dropped.bytes + rewritten.bytes });
  const calls = store.calls.length;
  expect(await preview()).toEqual({
    dropped: { packs: 0, bytes: 0 },
    rewritten: { packs: 0, bytes: 0, used: 0 },
    formerKeys: { packs: 0, bytes: 0 },
  });
  // The root says that there is nothing to gain.
  expect(store.calls.slice(calls).filter(({ key }) => !key.startsWith('roots'))).toEqual([]);
});

test('so is what a re-encryption is to rewrite beside them', async () => {
  await givenBackup(repository, 'a', [contents('a'), contents('b')]);
  await givenBackup(repository, 'b', [contents('c')]);
  await rotateDataKey(repository, { by: 'tester', reencrypt: true });
  const told = (await preview('b'))!;
  expect(told).toMatchObject({ dropped: { packs: 1 }, rewritten: { packs: 0 }, formerKeys: { packs: 2 } });
  const before = packs();
  expect(await removeBackups(repository, ['b'], { name: 'cleanup', directory })).toMatchObject({ rewrittenPacks: 2 });
  expect(gone(before)).toEqual({ packs: 3, bytes: told.dropped.bytes + told.formerKeys.bytes });
});

test('where a page is lost that says what is needed, nothing is known', async () => {
  await givenBackup(repository, 'a', [contents('a')], {
    nodes: [
      {
        ...{ id: 'n1', az: '', host: '' },
        roots: [
          {
            ...{ name: 'data', totals: { entries: 0, files: 0, bytes: 0 }, snapshotAt: '', skipped: 0, vanished: 0 },
            tree: { pages: [{ chunk: '00'.repeat(32), length: 5, first: '' }] },
          },
        ],
      },
    ],
  });
  expect(await preview()).toBeNull();
});
