import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Manifest } from '../../src/domain/documents.ts';
import { keys } from '../../src/domain/documents.ts';
import type { CleanUpOptions } from '../../src/storage/cleanUp.ts';
import { cleaned } from '../../src/storage/garbage.ts';
import { acquireLock } from '../../src/storage/lock.ts';
import { pin } from '../../src/storage/marks.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { openJson } from '../../src/storage/repository.ts';
import type { CommitOptions } from '../../src/storage/roots.ts';
import { commit, presentRoot } from '../../src/storage/roots.ts';
import { sweep } from '../../src/storage/sweep.ts';
import { rewritePacks } from '../../src/storage/tidyPacks.ts';
import { chunkOf, givenBackup, givenRepository, holderOf, readAll, removeBackups } from './given.ts';
import type { ScriptedStore } from './scripted.ts';

const PACK = 4096;
let store: ScriptedStore;
let repository: Repository;
let directory: string;

beforeEach(async () => {
  ({ store, repository } = await given());
  directory = mkdtempSync(join(tmpdir(), 'homarus-cleanup-'));
});
afterEach(() => {
  expect(readdirSync(directory)).toEqual([]);
  rmSync(directory, { recursive: true });
});

const given = () => givenRepository({ pack: { size: PACK, block: 64 } });
const remove = (name: string, backups: readonly string[], options: Partial<CleanUpOptions & CommitOptions> = {}) =>
  removeBackups(repository, backups, { name, directory, ...options });
const root = async () => (await presentRoot(repository)).root;
const packKeys = () => store.keys('packs/');
const packBytes = () => packKeys().reduce((all, key) => all + (store.objects.get(key)?.body.length as number), 0);
/** Contents that do not compress, the same for the same name. */
const known = new Map<string, string>();
const contentOf = (name: string, length = 200): string => {
  const content = known.get(name) ?? randomBytes(length).toString('latin1');
  known.set(name, content);
  return content;
};
const contents = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, number) => contentOf(`${prefix}${number}`));

describe('a cleanup', () => {
  test('rewrites what is still needed of packs that are mostly not, and deletes them', async () => {
    const old = contents('old', 10);
    const a = await givenBackup(repository, 'a', [old]);
    const b = await givenBackup(repository, 'b', [contents('new', 10)], {
      contents: [...old.slice(0, 2), contentOf('new1')],
    });
    const c = await givenBackup(repository, 'c', [contents('full', 10)]);
    const result = await remove('cleanup', ['a']);
    expect(result).toMatchObject({ removedBackups: 1, kept: 2, rewrittenPacks: 2, damagedPacks: 0, deleted: 8 });
    for (const { packs } of [a, b]) expect(packKeys()).not.toContain(keys.pack(packs[0]?.id as string));
    expect(packKeys()).toContain(keys.pack(c.packs[0]?.id as string));
    expect(packKeys()).toHaveLength(2);
    expect(result.space).toEqual({ used: packBytes(), unused: 0 });
    expect(result.rewrittenBytes).toBe(packBytes() - (c.packs[0]?.length as number));
    await readAll(repository);
  });

  test('leaves packs as they are while little enough is unused in them', async () => {
    const all = contents('all', 20);
    await givenBackup(repository, 'a', [all]);
    await givenBackup(repository, 'b', [], { contents: all.slice(1) });
    const before = packKeys();
    const result = await remove('cleanup', ['a'], { rewrite: { maxUnused: 0.06, maxRepackBytes: null } });
    expect(result).toMatchObject({ rewrittenPacks: 0, rewrittenBytes: 0 });
    expect(packKeys()).toEqual(before);
    expect(result.space?.unused).toBeGreaterThan(200);
    expect(await remove('stricter', [])).toMatchObject({ rewrittenPacks: 1, space: { unused: 0 } });
    await readAll(repository);
  });

  test('moves no more than it may, and the next one goes on', async () => {
    const names = ['one', 'two', 'three'];
    await givenBackup(
      repository,
      'a',
      names.map((name) => contents(name, 10)),
    );
    await givenBackup(repository, 'b', [], { contents: names.map((name) => contentOf(`${name}0`)) });
    const rewrite = { maxUnused: 0.05, maxRepackBytes: 400 };
    expect(await remove('first', ['a'], { rewrite })).toMatchObject({ rewrittenPacks: 1 });
    expect(await remove('second', [], { rewrite })).toMatchObject({ rewrittenPacks: 1 });
    expect(await remove('third', [], { rewrite })).toMatchObject({ rewrittenPacks: 1, space: { unused: 0 } });
    expect(await remove('fourth', [], { rewrite })).toMatchObject({ rewrittenPacks: 0, deleted: 0 });
    await readAll(repository);
  });

  test('puts small packs together when there are more than eight', async () => {
    for (let count = 0; count < 8; count++) await givenBackup(repository, `b${count}`, [contents(`b${count}.`, 2)]);
    expect(await remove('few', [])).toMatchObject({ rewrittenPacks: 0 });
    await givenBackup(repository, 'b8', [contents('b8.', 2)]);
    expect(await remove('many', [])).toMatchObject({ rewrittenPacks: 9 });
    expect(packKeys()).toHaveLength(1);
    await readAll(repository);
  });

  test('fills packs up to their size', async () => {
    await givenBackup(
      repository,
      'a',
      Array.from({ length: 30 }, (_, pack) => contents(`p${pack}.`, 20)),
    );
    const needed = Array.from({ length: 30 }, (_, pack) => contents(`p${pack}.`, 5)).flat();
    await givenBackup(repository, 'b', [], { contents: needed });
    await remove('cleanup', ['a']);
    const most = Math.floor(PACK / 200);
    expect(packKeys()).toHaveLength(Math.ceil(needed.length / most));
    await readAll(repository);
  });

  test('counts a chunk that stands in two packs once', async () => {
    const twice = contents('twice', 10);
    await givenBackup(repository, 'a', [[...twice, ...contents('a', 9)]]);
    await givenBackup(repository, 'b', [[...twice, ...contents('b', 9)]]);
    const { space } = await remove('cleanup', []);
    expect(space).toEqual({ used: packBytes(), unused: 0 });
    expect(packBytes()).toBeLessThan(28 * 260 + 200);
    await readAll(repository);
  });

  test('keeps what stands in a pack that is rewritten and in one that is dropped', async () => {
    await givenBackup(repository, 'a', [[contentOf('x')], [contentOf('x'), contentOf('y')]]);
    await givenBackup(repository, 'b', [[contentOf('y')]]);
    await givenBackup(repository, 'c', [[contentOf('x')]]);
    await remove('cleanup', []);
    await readAll(repository);
    expect(packBytes()).toBeLessThan(2 * 260 + 200);
  });

  test('leaves a pack in its place of which something does not verify, and says so', async () => {
    const a = await givenBackup(repository, 'a', [contents('a', 10), contents('b', 10)]);
    await givenBackup(repository, 'b', [], { contents: [contentOf('a0'), contentOf('a5'), contentOf('b5')] });
    const [hurt, whole] = a.packs.map(({ id }) => keys.pack(id)) as [string, string];
    const body = store.objects.get(hurt)?.body as Buffer;
    body[body.indexOf(Buffer.from(contentOf('a5'), 'latin1')) + 3]! ^= 1;
    const warnings: string[] = [];
    const result = await remove('cleanup', ['a'], { onWarning: (text) => warnings.push(text) });
    expect(result).toMatchObject({ rewrittenPacks: 1, damagedPacks: 1 });
    expect(warnings).toEqual([
      expect.stringMatching(new RegExp(`^pack ${a.packs[0]?.id} stays as it is: .*is damaged`)),
    ]);
    expect(packKeys()).toContain(hurt);
    expect(packKeys()).not.toContain(whole);
    expect((await root()).damaged).toEqual([{ kind: 'pack', id: a.packs[0]?.id }]);
    await expect(readAll(repository)).rejects.toMatchObject({ code: 'ObjectDamaged' });
    // Stored again by a later backup, it heals; then the damaged pack goes.
    await givenBackup(repository, 'c', [[contentOf('a5')]]);
    expect(await remove('later', ['b'])).toMatchObject({ damagedPacks: 0 });
    expect(packKeys()).not.toContain(hurt);
    expect((await root()).damaged).toEqual([]);
    await readAll(repository);
  });

  test('drops no copy while it finds damage, and goes on with the copy next time', async () => {
    await givenBackup(repository, 'a', [contents('a', 10)]);
    const a = (await root()).indexes[0]!;
    await givenBackup(repository, 'b', [[contentOf('a0')]]);
    const hurt = packKeys()[0] as string;
    store.objects.get(hurt)!.body[store.objects.get(hurt)!.body.indexOf(contentOf('a0'), 'latin1')]! ^= 1;
    expect(await remove('cleanup', ['a'])).toMatchObject({ damagedPacks: 1, space: null });
    expect((await root()).indexes).toContainEqual(a);
    expect(await remove('again', [])).toMatchObject({ damagedPacks: 0, space: { unused: 0 } });
    expect(packKeys()).not.toContain(hurt);
    await readAll(repository);
  });

  test('does so with a pack that is missing', async () => {
    const a = await givenBackup(repository, 'a', [contents('a', 10)]);
    await givenBackup(repository, 'b', [], { contents: [contentOf('a0')] });
    store.objects.delete(keys.pack(a.packs[0]?.id as string));
    expect(await remove('cleanup', ['a'])).toMatchObject({ rewrittenPacks: 0, damagedPacks: 1 });
    expect((await root()).damaged).toEqual([{ kind: 'pack', id: a.packs[0]?.id }]);
    expect(await remove('again', [])).toMatchObject({ rewrittenPacks: 0, damagedPacks: 0 });
  });

  test('with nothing to do asks little: roots, marks, its lease', async () => {
    await givenBackup(repository, 'a', [contents('a', 10)]);
    await givenBackup(repository, 'b', [contents('b', 10)]);
    await remove('first', ['a']);
    store.calls.length = 0;
    expect(await remove('second', [])).toMatchObject({ kept: 1, deleted: 0, space: { unused: 0 } });
    const asked = store.calls.map(({ verb, key }) => `${verb} ${key.split('/')[0]}`);
    expect(asked).toEqual([
      ...['list roots', 'create roots', 'list roots', 'read roots', 'overwrite leases'],
      ...['list roots', 'list marks'],
      ...['create roots', 'list roots', 'read roots'],
    ]);
  });

  test('after a backup alone deletes nothing, and reads no pack that holds no tree', async () => {
    await givenBackup(repository, 'a', [contents('a', 10)]);
    await remove('first', []);
    await givenBackup(repository, 'b', [contents('b', 10)]);
    store.calls.length = 0;
    expect(await remove('second', [])).toMatchObject({ rewrittenPacks: 0, kept: 2 });
    expect(store.calls.filter(({ verb, key }) => verb === 'read' && key.startsWith('packs/'))).toEqual([]);
    store.calls.length = 0;
    await remove('third', []);
    expect(store.calls.filter(({ key }) => key.startsWith('indexes/'))).toEqual([]);
  });

  test('that loses its lock while it rewrites changes nothing', async () => {
    const old = contents('old', 10);
    await givenBackup(repository, 'a', [old]);
    await givenBackup(repository, 'b', [], { contents: old.slice(0, 2) });
    store.next('create', 'packs/', async (pass) => {
      await acquireLock(repository, { ...holderOf('other'), ttl: 0 }, { nonce: 'other' });
      return pass();
    });
    const before = await root();
    await expect(remove('cleanup', ['a'])).rejects.toMatchObject({ code: 'LockLost' });
    const after = await root();
    expect(after).toMatchObject({ backups: before.backups, indexes: before.indexes, floor: before.floor });
    expect(store.calls.filter(({ verb, key }) => verb === 'remove' && !key.startsWith('roots/'))).toEqual([]);
    await readAll(repository);
  });

  test('looks anew when a backup that was to go is pinned while it rewrites', async () => {
    const old = contents('old', 10);
    await givenBackup(repository, 'a', [old]);
    await givenBackup(repository, 'b', [], { contents: old.slice(0, 2) });
    store.next('create', 'packs/', async (pass) => {
      void pin(repository, 'a', { by: 'ann', patience: 1000 }).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 50));
      return pass();
    });
    expect(await remove('cleanup', ['a'])).toMatchObject({ removedBackups: 0, kept: 2, rewrittenPacks: 0 });
    await readAll(repository);
  });

  test('says what it is at, and how far', async () => {
    const page = contents('old', 10);
    await givenBackup(repository, 'a', [page]);
    await givenBackup(repository, 'b', [], { contents: page.slice(0, 2) });
    const steps = new Map<string, [number, number]>();
    await remove('cleanup', ['a'], { onProgress: (step, done, total) => steps.set(step, [done, total]) });
    const [read, total] = steps.get('rewriting packs') ?? [];
    expect(read).toBe(total);
    expect(read).toBeGreaterThan(400);
    expect(steps.get('deleting garbage')?.[0]).toBeGreaterThan(2000);
  });
});

test('packs are rewritten whole when they are named', async () => {
  const { packs } = await givenBackup(repository, 'a', [contents('a', 10), contents('b', 10), contents('c', 10)]);
  const { at, epoch } = await acquireLock(repository, { ...holderOf('rotate'), ttl: 0 }, { nonce: 'rotate' });
  const ids = new Set(packs.slice(0, 2).map(({ id }) => id));
  const { left, ...counts } = await rewritePacks(repository, at.root, { ids, epoch }, { directory });
  expect(counts).toMatchObject({ packs: 2, damaged: [] });
  expect(left.packs).toEqual(ids);
  const outcome = await commit(repository, at, (draft) => cleaned(draft, { backups: new Set(), ...left }), 'rotated');
  expect(outcome.result).toBe('stands');
  await sweep(repository, await presentRoot(repository), epoch);
  expect(packKeys()).toHaveLength(2);
  expect(packKeys()).toContain(keys.pack(packs[2]?.id as string));
  await readAll(repository);
});

test('a cleanup that was stopped anywhere loses nothing, and is finished by the next backup and cleanup', async () => {
  const killed = new Error('killed');
  for (let stop = 0, ended = false; !ended; stop++) {
    ({ store, repository } = await given());
    const old = contents('old', 20);
    await givenBackup(repository, 'a', [old.slice(0, 10), old.slice(10)]);
    await givenBackup(repository, 'b', [], { contents: [old[0] as string, old[15] as string] });
    let calls = 0;
    store.step = async ({ verb }) => {
      const changes = verb === 'create' || verb === 'overwrite' || verb === 'remove';
      if (changes && calls++ === stop) store.step = () => Promise.reject(killed);
    };
    ended = await remove('stopped', ['a'], { patience: 0 }).then(
      () => true,
      () => false,
    );
    store.step = async () => {};
    await readAll(repository);
    await givenBackup(repository, 'c', [contents('c', 3)]);
    await remove('next', (await root()).backups.some(({ name }) => name === 'a') ? ['a'] : []);
    await readAll(repository);
    const { space } = await root();
    expect(packBytes()).toBe((space?.used ?? 0) + (space?.unused ?? 0));
    expect(packKeys().length).toBeLessThanOrEqual(2);
  }
});

test('whatever is backed up and deleted: after one more backup and cleanup little more is stored than is needed', async () => {
  const chunk = fc.integer({ min: 0, max: 60 });
  const step = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        nodes: fc.array(fc.uniqueArray(chunk, { minLength: 1, maxLength: 25 }), { minLength: 1, maxLength: 3 }),
        dies: fc.boolean(),
      }),
    },
    { weight: 2, arbitrary: fc.record({ keep: fc.array(fc.boolean(), { minLength: 10, maxLength: 10 }) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 10 }), async (steps) => {
      ({ store, repository } = await given());
      let number = 0;
      const backUp = async (nodes: number[][], dies = false) => {
        const packs = nodes.map((chunks) => chunks.map((one) => contentOf(`chunk ${one}`, 150 + one)));
        await givenBackup(repository, `b${++number}`, packs, { dies });
      };
      for (const one of steps) {
        if ('nodes' in one) await backUp(one.nodes, one.dies);
        else {
          const { backups } = await root();
          const going = backups.filter((_, place) => !(one.keep[place] ?? true)).map(({ name }) => name);
          await remove(`cleanup${++number}`, going);
        }
        await readAll(repository);
      }
      await backUp([[61]]);
      await remove('last', []);
      await readAll(repository);
      const stored = packBytes();

      const { backups } = await root();
      const needed = await contentsOf(backups.map(({ name, id }) => keys.manifest(name, id)));
      const fresh = await given();
      const packs: string[][] = [[]];
      for (const content of needed) {
        if (packs.at(-1)!.join('').length + content.length > PACK) packs.push([]);
        packs.at(-1)!.push(content);
      }
      await givenBackup(fresh.repository, 'all', packs);
      const ideal = fresh.store.keys('packs/').reduce((all, key) => all + fresh.store.objects.get(key)!.body.length, 0);
      const nodes = 3;
      expect(stored).toBeLessThanOrEqual(ideal * 1.05 + nodes * PACK);
    }),
    { numRuns: 30 },
  );
});

/** What these manifests name, each once. */
async function contentsOf(manifests: string[]): Promise<string[]> {
  const byHash = new Map<string, string>();
  for (const content of known.values()) byHash.set(chunkOf(content).toString('hex'), content);
  const needed = new Set<string>();
  for (const key of manifests) {
    const manifest = openJson(repository, { kind: 'manifest', key }, store.objects.get(key)!.body) as Manifest;
    for (const { chunk } of manifest.streams.flatMap(({ chunks }) => chunks)) needed.add(byHash.get(chunk) as string);
  }
  return [...needed];
}
