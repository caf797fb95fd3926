import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { keys } from '../../src/domain/documents.ts';
import type { CleanUpOptions } from '../../src/storage/cleanUp.ts';
import { rotateDataKey } from '../../src/storage/keyChanges.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { openRepository } from '../../src/storage/repository.ts';
import type { CommitOptions } from '../../src/storage/roots.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import { encrypted, givenBackup, givenRepository, removeBackups } from './given.ts';
import { readAll } from './readAll.ts';
import type { ScriptedStore } from './scripted.ts';

const by = 'tester';
let store: ScriptedStore;
let repository: Repository;
let directory: string;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'homarus-reencrypt-'));
  await begin();
});
afterEach(() => {
  expect(readdirSync(directory)).toEqual([]);
  rmSync(directory, { recursive: true });
});

async function begin(): Promise<void> {
  ({ store, repository } = await givenRepository({ ...encrypted, pack: { size: 4096, block: 64 } }));
}

const rotate = (reencrypt = true) => rotateDataKey(repository, { by, reencrypt });
let cleanups = 0;
const clean = (options: Partial<CleanUpOptions & CommitOptions> = {}) =>
  removeBackups(repository, [], { name: `cleanup${++cleanups}`, directory, ...options });
const rootKeys = async () => (await presentRoot(repository)).root.keys;
/** Generations that seal packs and indexes. */
const generations = () =>
  ['packs/', 'indexes/'].map((prefix) =>
    [...new Set(store.keys(prefix).map((key) => store.objects.get(key)!.body.readUInt32LE(8)))].sort(),
  );
/** As who comes anew reads it. */
const read = async () => readAll(await openRepository(store, { cluster: 'east', encryption: encrypted.encryption }));

const contents = { a: ['a1', 'a2', 'a3'], b: ['b1', 'b2'], c: ['c1'] };
async function threeBackups(): Promise<void> {
  for (const [name, chunks] of Object.entries(contents)) await givenBackup(repository, name, [chunks, [`${name}!`]]);
}
const expected = Object.fromEntries(Object.entries(contents).map(([name, chunks]) => [name, [...chunks, `${name}!`]]));

test('after a cleanup nothing is sealed with the former data key, which nobody needs any more', async () => {
  await threeBackups();
  await rotate();
  const result = await clean();
  expect(result).toMatchObject({ kept: 3, rewrittenPacks: 6, damagedPacks: 0, formerKeys: { packs: 0, bytes: 0 } });
  expect(result.deleted).toBeGreaterThanOrEqual(9);
  expect(generations()).toEqual([[2], [2]]);
  expect(await rootKeys()).not.toHaveProperty('rewriteBelow');
  store.objects.delete(keys.dataKey(1));
  expect(await read()).toEqual(expected);
  expect(await clean()).toMatchObject({ rewrittenPacks: 0, deleted: 0, formerKeys: null });
});

test('a rotation alone has nothing rewritten', async () => {
  await threeBackups();
  await rotate(false);
  expect(await clean()).toMatchObject({ rewrittenPacks: 0, formerKeys: null });
  expect(generations()).toEqual([[1], [1]]);
});

test('what was stored before a second rotation is rewritten, and no more than that', async () => {
  await givenBackup(repository, 'a', [['a1']]);
  await rotate(false);
  await givenBackup(repository, 'b', [['b1']]);
  await rotate();
  const { packs } = await givenBackup(repository, 'c', [['c1']]);
  expect(await clean()).toMatchObject({ rewrittenPacks: 2 });
  expect(generations()).toEqual([[3], [3]]);
  expect(store.keys('packs/')).toContain(keys.pack(packs[0]!.id));
  expect(await read()).toEqual({ a: ['a1'], b: ['b1'], c: ['c1'] });
});

test('one cleanup moves no more than it may, says what is left, and the next ones go on', async () => {
  await threeBackups();
  await rotate();
  const largest = Math.max(...store.keys('packs/').map((key) => store.objects.get(key)!.body.length));
  const rewrite = { maxUnused: 0.05, maxRepackBytes: 2 * largest };
  let left = 6;
  while (left > 0) {
    const { formerKeys, rewrittenPacks } = await clean({ rewrite });
    expect(rewrittenPacks).toBeGreaterThanOrEqual(Math.min(2, left));
    expect(rewrittenPacks).toBeLessThanOrEqual(4);
    expect(formerKeys?.packs).toBe(left - rewrittenPacks);
    left -= rewrittenPacks;
    expect(await read()).toEqual(expected);
    expect((await rootKeys())?.rewriteBelow).toBe(left > 0 ? 2 : undefined);
  }
  expect(generations()).toEqual([[2], [2]]);
});

test('each commit is followed by the deletion of the packs that it replaced', async () => {
  await threeBackups();
  await rotate();
  let most = 0;
  store.step = async () => {
    most = Math.max(most, store.keys('packs/').length);
  };
  expect(await clean({ atOnce: 1 })).toMatchObject({ rewrittenPacks: 6, formerKeys: { packs: 0 } });
  expect(most).toBe(7);
  expect(await read()).toEqual(expected);
});

test('what a died backup left under the former key is not adopted any more', async () => {
  await threeBackups();
  await givenBackup(repository, 'died', [['d1', 'd2']], { dies: true });
  await rotate();
  await clean();
  expect(generations()).toEqual([[2], [2]]);
  expect((await presentRoot(repository)).root.floor).toBeGreaterThan(4);
});

test('a damaged pack stays and is told; when its chunks are stored again, all is done', async () => {
  await threeBackups();
  await rotate();
  const hurt = store.keys('packs/')[0]!;
  store.objects.get(hurt)!.body[60]! ^= 1;
  const warnings: string[] = [];
  const result = await clean({ onWarning: (text) => warnings.push(text) });
  expect(result).toMatchObject({ rewrittenPacks: 5, damagedPacks: 1, formerKeys: { packs: 1 } });
  expect(warnings).toEqual([expect.stringContaining(`${hurt.slice('packs/'.length)} stays as it is`)]);
  expect((await presentRoot(repository)).root.damaged).toHaveLength(1);
  expect(await clean()).toMatchObject({ rewrittenPacks: 0, formerKeys: { packs: 1 } });
  expect((await rootKeys())?.rewriteBelow).toBe(2);
  await givenBackup(repository, 'again', [[...contents.a, 'a!']]);
  await clean();
  await clean();
  expect(generations()).toEqual([[2], [2]]);
  expect(await rootKeys()).not.toHaveProperty('rewriteBelow');
  expect(await read()).toMatchObject(expected);
});

test('stopped anywhere it loses nothing, and the next cleanup finishes it', async () => {
  const killed = new Error('killed');
  let stops = 0;
  for (let ended = false; !ended; stops++) {
    await begin();
    await threeBackups();
    await rotate();
    let changes = 0;
    store.step = async ({ verb }) => {
      if (['create', 'overwrite', 'remove'].includes(verb) && changes++ === stops) {
        store.step = () => Promise.reject(killed);
      }
    };
    ended = await clean({ patience: 0, atOnce: 500 }).then(
      () => true,
      () => false,
    );
    store.step = async () => {};
    expect(await read()).toEqual(expected);
    await clean();
    expect(generations()).toEqual([[2], [2]]);
    expect(await rootKeys()).not.toHaveProperty('rewriteBelow');
    expect(await read()).toEqual(expected);
    expect(store.keys('packs/').length).toBeLessThanOrEqual(6);
  }
  expect(stops).toBeGreaterThan(15);
});

test('an activity that is called again after a commit of its own goes on from there', async () => {
  await threeBackups();
  await rotate();
  const name = 'twice';
  const before = (await presentRoot(repository)).root.number;
  store.step = async ({ verb, key }) => {
    const isThird = key === keys.root(before + 4);
    if (verb === 'create' && isThird) throw new Error('killed');
  };
  await expect(removeBackups(repository, [], { name, directory, patience: 0, atOnce: 1 })).rejects.toThrow();
  store.step = async () => {};
  const done = (await presentRoot(repository)).root;
  // The lock, the floor, and the first pack.
  expect(done).toMatchObject({ number: before + 3, holder: { operation: name } });
  const again = await removeBackups(repository, [], { name, directory, atOnce: 1 });
  expect(again).toMatchObject({ formerKeys: { packs: 0 } });
  expect(again.rewrittenPacks).toBe(5);
  expect((await presentRoot(repository)).root).toMatchObject({ epoch: done.epoch, holder: null });
  expect(await read()).toEqual(expected);
});
