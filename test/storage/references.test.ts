import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { BackupEntry, ManifestNode, RootDocument, TreeRef } from '../../src/domain/documents.ts';
import { keys } from '../../src/domain/documents.ts';
import { ChunkIndex } from '../../src/storage/chunkIndex.ts';
import { replaceIndexes } from '../../src/storage/garbage.ts';
import { indexesWithout, mergeIndexes } from '../../src/storage/indexes.ts';
import { damagedIn } from '../../src/storage/openIndexes.ts';
import { usePacks } from '../../src/storage/packUse.ts';
import { markChunks } from '../../src/storage/references.ts';
import type { Repository } from '../../src/storage/repository.ts';
import type { RootAt } from '../../src/storage/roots.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import { encodeRow } from '../../src/storage/tree.ts';
import { chunkOf, givenBackup, givenIndex, givenPack, givenRepository, readAll, removeBackups } from './given.ts';
import type { ScriptedStore } from './scripted.ts';

let store: ScriptedStore;
let repository: Repository;
let directory: string;

beforeEach(async () => {
  ({ store, repository } = await givenRepository());
  directory = mkdtempSync(join(tmpdir(), 'homarus-mark-'));
});
afterEach(() => {
  expect(readdirSync(directory)).toEqual([]);
  rmSync(directory, { recursive: true });
});

const mark = async (...names: string[]) => {
  const at = await presentRoot(repository);
  const staying = at.root.backups.filter(({ name }) => names.includes(name));
  return use(at.root, staying);
};
/** Ids of the packs that nothing stays in, chunks that are used, and those that are missing. */
const use = async (root: RootDocument, staying: readonly BackupEntry[], options: { atOnce?: number } = {}) => {
  const marked = await markChunks(repository, root, staying, { directory, ...options });
  const packs = await usePacks(marked, { block: 64, damaged: damagedIn(root) });
  const unused = new Set(packs.filter((pack) => pack.chunks + pack.copies === 0).map(({ pack }) => pack.id));
  return { unused, chunks: marked.chunks, missing: marked.missing };
};
const at = (content: string) => ({ chunk: chunkOf(content).toString('hex'), length: content.length });
const pageOf = (path: string, ...contents: string[]): string => {
  const chunks = contents.map((content) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(content.length);
    return Buffer.concat([chunkOf(content), length]);
  });
  const row = {
    path,
    type: 'file',
    size: 1,
    mtime: 0n,
    mode: 0o644,
    uid: 0,
    gid: 0,
    chunks: Buffer.concat(chunks),
  } as const;
  return encodeRow(row, '').toString('latin1');
};
const nodeOf = (...trees: TreeRef[]): ManifestNode[] => [
  {
    ...{ id: 'n1', az: '', host: '' },
    roots: trees.map((tree) => ({
      ...{ name: 'data', tree, totals: { entries: 0, files: 0, bytes: 0 }, snapshotAt: '', skipped: 0, vanished: 0 },
    })),
  },
];
const refOf = (path: string, page: string) => ({ first: Buffer.from(path).toString('base64'), ...at(page) });

describe('marking', () => {
  test('finds the packs that only backups that go need', async () => {
    const a = await givenBackup(repository, 'a', [['one', 'two'], ['three']]);
    const b = await givenBackup(repository, 'b', [['four']], { contents: ['two', 'four'] });
    expect((await mark('a', 'b')).unused).toEqual(new Set());
    expect((await mark('b')).unused).toEqual(new Set([a.packs[1]?.id]));
    expect((await mark('a')).unused).toEqual(new Set([b.packs[0]?.id]));
    expect(await mark()).toEqual({
      unused: new Set([...a.packs, ...b.packs].map(({ id }) => id)),
      chunks: 0,
      missing: 0,
    });
  });

  test('reaches the chunks of files through pages, and pages through lists of pages', async () => {
    const page = pageOf('x', 'data');
    const list = JSON.stringify({ pages: [refOf('x', page)] });
    const nodes = nodeOf({ pageList: at(list), pageCount: 1 });
    const backup = await givenBackup(repository, 'a', [[list], [page], ['data'], ['other']], { contents: [], nodes });
    const other = backup.packs[3];
    expect(await mark('a')).toMatchObject({ chunks: 3, missing: 0, unused: new Set([other?.id]) });
  });

  test('counts what no index names, and goes on', async () => {
    await givenBackup(repository, 'a', [['one']], { contents: ['one', 'never stored'] });
    expect(await mark('a')).toMatchObject({ chunks: 1, missing: 1, unused: new Set() });
  });

  test('ends when a page cannot be read: what it names is not known', async () => {
    const nodes = nodeOf({ pages: [refOf('x', 'never stored')] });
    await givenBackup(repository, 'a', [['one']], { nodes });
    await expect(mark('a')).rejects.toMatchObject({ code: 'ObjectMissing' });
    expect(await mark()).toMatchObject({ chunks: 0 });
  });

  test('lets one of two packs that hold the same chunks go, not both', async () => {
    const a = await givenBackup(repository, 'a', [['one', 'two']]);
    const b = await givenBackup(repository, 'b', [['one', 'two']]);
    const { unused } = await mark('a', 'b');
    expect(unused.size).toBe(1);
    expect([a.packs[0]?.id, b.packs[0]?.id]).toContain([...unused][0]);
  });

  test('gives a damaged pack up when whole ones hold all that is needed of it, and keeps all copies when none does', async () => {
    const [a, b] = [await givenBackup(repository, 'a', [['one']]), await givenBackup(repository, 'b', [['one']])].map(
      ({ packs }) => packs[0]?.id as string,
    );
    const now = await presentRoot(repository);
    const unusedWith = async (...ids: (string | undefined)[]) => {
      const damaged = ids.map((id) => ({ kind: 'pack', id: id as string }) as const);
      return (await use({ ...now.root, damaged }, now.root.backups)).unused;
    };
    expect(await unusedWith(a)).toEqual(new Set([a]));
    expect(await unusedWith(b)).toEqual(new Set([b]));
    expect(await unusedWith(a, b)).toEqual(new Set());
  });

  test('finds the same when there are more chunks than are marked at once', async () => {
    const contents = Array.from({ length: 50 }, (_, number) => [`${number}`, `${number}+`]);
    const page = pageOf('x', ...contents.flat().filter((_, number) => number % 4 === 0));
    const nodes = nodeOf({ pages: [refOf('x', page)] });
    await givenBackup(repository, 'a', [[page], ...contents], { contents: ['never stored', '3'], nodes });
    const { root } = await presentRoot(repository);
    const whole = await use(root, root.backups);
    expect(whole).toMatchObject({ chunks: 1 + 25 + 1, missing: 1 });
    for (const atOnce of [7, 100, 101]) expect(await use(root, root.backups, { atOnce })).toEqual(whole);
  });
});

describe('indexes', () => {
  const findAll = async (refs: RootAt['root']['indexes'], contents: string[]) => {
    const indexes = await Promise.all(refs.map((ref) => ChunkIndex.open(repository, ref)));
    const found: (string | undefined)[] = [];
    for (const content of contents) {
      const places = await Promise.all(indexes.map((index) => index.find(chunkOf(content))));
      found.push(places.find((place) => place !== undefined)?.pack.id);
    }
    return found;
  };

  test('are written anew without packs that go, those that have none of them stay as they are', async () => {
    const [one, two, three] = await Promise.all(['one', 'two', 'three'].map((it) => givenPack(repository, 1, [it])));
    const both = await givenIndex(repository, 1, [one!, two!]);
    const single = await givenIndex(repository, 1, [three!]);
    const gone = new Set([one!.pack.id]);
    const next = await indexesWithout(repository, [both, single], gone, 2);
    expect(next).toEqual([single, expect.objectContaining({ epoch: 2, entries: 1 })]);
    expect(await findAll(next, ['one', 'two', 'three'])).toEqual([undefined, two!.pack.id, three!.pack.id]);
    expect(await indexesWithout(repository, next, gone, 3)).toEqual(next);
    expect(await indexesWithout(repository, [single], new Set([three!.pack.id]), 3)).toEqual([]);
  });

  test('are merged when there are more than 20: the large ones stay, every chunk is found where it was', async () => {
    const contents: string[][] = [];
    const refs = [];
    for (let number = 0; number < 21; number++) {
      contents.push(Array.from({ length: number + 1 }, (_, place) => `${number}/${place}`));
      refs.push(await givenIndex(repository, 1, [await givenPack(repository, 1, contents[number] as string[])]));
    }
    expect(await mergeIndexes(repository, refs.slice(0, 20), 2)).toEqual(refs.slice(0, 20));
    const merged = await mergeIndexes(repository, refs, 2);
    expect(merged.slice(0, -1)).toEqual(refs.slice(16));
    expect(merged.at(-1)).toMatchObject({ epoch: 2, entries: 136 });
    expect(await findAll(merged, contents.flat())).toEqual(await findAll(refs, contents.flat()));
  });

  test('that are merged name a chunk once, and not in a damaged pack when it stands elsewhere', async () => {
    const packs = await Promise.all(['a', 'b'].map(() => givenPack(repository, 1, ['one'])));
    const ids = packs.map(({ pack }) => pack.id);
    const refs = [];
    for (const pack of packs) refs.push(await givenIndex(repository, 1, [pack]));
    for (let number = 0; number < 19; number++) {
      refs.push(await givenIndex(repository, 1, [await givenPack(repository, 1, [`${number}`, `${number}+`])]));
    }
    for (const id of ids) {
      const merged = await mergeIndexes(repository, refs, 2, { damaged: new Set([id]) });
      expect(await findAll(merged, ['one'])).toEqual([ids.find((other) => other !== id)]);
      expect(merged.reduce((all, { entries }) => all + entries, 0)).toBe(1 + 38);
    }
  });
});

test('whatever is backed up, dropped and merged: every listed backup can be read, and nothing else stays', async () => {
  const step = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        packs: fc.array(fc.uniqueArray(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 4 }), {
          maxLength: 3,
        }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ keep: fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 10 }), async (steps) => {
      ({ store, repository } = await givenRepository());
      for (const [number, one] of [...steps, { keep: Array(8).fill(true) }].entries()) {
        const name = `step${number}`;
        if ('packs' in one)
          await givenBackup(
            repository,
            name,
            one.packs.map((pack) => pack.map((it) => `content ${it}`)),
          );
        else await cleanUp(name, one.keep);
      }
      const { root } = await presentRoot(repository);
      const indexes = await Promise.all(root.indexes.map((ref) => ChunkIndex.open(repository, ref)));
      await readAll(repository);
      expect((await use(root, root.backups)).missing).toBe(0);
      expect(store.keys('manifests/')).toEqual(root.backups.map(({ name, id }) => keys.manifest(name, id)).sort());
      expect(store.keys('indexes/')).toEqual(root.indexes.map(({ id }) => keys.index(id)).sort());
      const led = new Set(indexes.flatMap(({ packs }) => packs.map(({ id }) => keys.pack(id))));
      expect(store.keys('packs/')).toEqual([...led].sort());
    }),
    { numRuns: 20 },
  );

  async function cleanUp(name: string, keep: readonly boolean[]): Promise<void> {
    const { backups } = (await presentRoot(repository)).root;
    await removeBackups(
      repository,
      backups.filter((_, place) => !(keep[place] ?? true)).map(({ name: one }) => one),
      { directory, name },
    );
  }
});

test('indexes that a backup replaced wait for the next sweep', async () => {
  const { index } = await givenBackup(repository, 'a', [['one']]);
  const { root } = await presentRoot(repository);
  expect(replaceIndexes({ ...root, swept: 5 }, [])).toMatchObject({ indexes: [], swept: 0 });
  expect(replaceIndexes({ ...root, swept: 5 }, [index!])).toMatchObject({ indexes: [index], swept: 5 });
});
