import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { freeBytes } from '../../src/node/freeSpace.ts';
import type { RestoreInput } from '../../src/node/planRestore.ts';
import type { RestoreCounts } from '../../src/node/restorer.ts';
import { restoreTrees } from '../../src/node/restorer.ts';
import type { Selection } from '../../src/node/walk.ts';
import { createRepository } from '../../src/storage/create.ts';
import { HASH_BYTES } from '../../src/storage/hash.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { CHUNK_BYTES } from '../../src/storage/tree.ts';
import { ScriptedStore } from '../storage/scripted.ts';
import { givenContext } from '../support/jobs.ts';
import type { StoredTree } from '../support/storeTree.ts';
import { smallParameters, storeTree } from '../support/storeTree.ts';
import type { Tree } from '../support/trees.ts';
import { compareTrees, contentOf, damage, damages, listing, makeTree, trees } from '../support/trees.ts';

const everything: Selection = { file: () => true, directory: () => true };
const only = (path: string): Selection => ({
  file: (other) => other === path || other.startsWith(`${path}/`),
  directory: (other) => other === '' || path.startsWith(`${other}/`) || other === path || other.startsWith(`${path}/`),
});

let jobs: ReturnType<typeof givenContext>;
let store: ScriptedStore;
let repository: Repository;
let base: string;
let original: string;
let target: string;

beforeAll(() => {
  jobs = givenContext();
});
afterAll(() => jobs.close());

beforeEach(async () => {
  base = mkdtempSync(join(tmpdir(), 'homarus-restorer-'));
  original = join(base, 'original');
  target = join(base, 'target');
  store = new ScriptedStore();
  ({ repository } = await createRepository(store, { cluster: 'east', ...smallParameters }));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const restore = (stored: StoredTree, options: Partial<RestoreInput> = {}): Promise<RestoreCounts> =>
  restoreTrees(
    repository,
    { indexes: [stored.index], damaged: [] },
    {
      roots: [{ path: target, linkDir: join(target, '.homarus'), tree: stored.tree }],
      select: everything,
      bases: [''],
      verifyExisting: false,
      operation: 'restore-1',
      workDirectory: join(base, 'work'),
      ...options,
    },
    jobs.context,
  );

const file = (size: number, seed = 1, mode = 0o644) => ({ type: 'file' as const, size, seed, mode });
const given = async (tree: Tree): Promise<StoredTree> => {
  makeTree(original, tree);
  return storeTree(repository, original);
};

const sample: Tree = {
  'big file': file(700_001),
  empty: file(0),
  inline: file(128, 2),
  'read-only': {
    type: 'directory',
    mode: 0o555,
    entries: { a: file(5_000, 3, 0o444), sub: { type: 'directory', mode: 0o755, entries: {} } },
  },
  'set\nuid': file(9_000, 4, 0o4755),
  '\xff\xfe': file(200, 5),
  twin: file(200_000, 6),
  'twin-2': { type: 'hardlink' },
  link: { type: 'symlink', target: 'big file' },
  dangling: { type: 'symlink', target: '/nowhere/\xe9' },
  copy: file(700_001),
  holes: { ...file(1_000_000, 7), sparse: true },
};

test('restores a tree into nothing: bytes, names, modes, times, links, hard links and holes', async () => {
  const stored = await given(sample);
  const counts = await restore(stored);
  expect(compareTrees(original, target)).toEqual([]);
  expect(existsSync(join(target, '.homarus'))).toBe(false);
  expect(counts).toMatchObject({ files: 9, kept: 0, removed: 0 });
  expect(jobs.context.progress).toMatchObject({
    filesDone: 9,
    filesTotal: 9,
    bytesDone: counts.bytes,
    bytesTotal: counts.bytes,
  });
});

test('keeps all that is right, and reads nothing of it', async () => {
  const stored = await given(sample);
  await restore(stored);
  const inode = lstatSync(join(target, 'big file')).ino;
  const counts = await restore(stored);
  expect(counts).toMatchObject({ files: 9, kept: 9, fetchedBytes: 0, removed: 0 });
  expect(lstatSync(join(target, 'big file')).ino).toBe(inode);
  expect(compareTrees(original, target)).toEqual([]);
});

test('reads shared chunks once, and neighbours in one request', async () => {
  const stored = await given({ a: file(300_000), b: file(300_000), c: file(300_000) });
  store.calls.length = 0;
  const counts = await restore(stored);
  expect(counts.bytes).toBe(900_000);
  expect(counts.fetchedBytes).toBeLessThan(310_000);
  expect(store.calls.filter((call) => JSON.stringify(call).includes('packs/')).length).toBeLessThan(8);
});

test('whatever is done to a target, a restore makes it what was backed up', async () => {
  await fc.assert(
    fc.asyncProperty(trees, damages, async (tree, wrong) => {
      rmSync(base, { recursive: true, force: true });
      makeTree(original, tree);
      const outside = join(base, 'outside');
      makeTree(outside, { precious: file(500) });
      const before = listing(outside);
      const stored = await storeTree(repository, original);
      await restore(stored);
      expect(compareTrees(original, target)).toEqual([]);
      damage(target, wrong, outside);
      await restore(stored, { verifyExisting: true });
      expect(compareTrees(original, target)).toEqual([]);
      expect(listing(outside)).toEqual(before);
    }),
    { numRuns: 40 },
  );
}, 60_000);

describe('a file of the right size', () => {
  test('with another time is compared by its content, kept, and given its time', async () => {
    const stored = await given({ a: file(300_000), b: file(100) });
    await restore(stored);
    const inode = lstatSync(join(target, 'a')).ino;
    for (const name of ['a', 'b']) utimesSync(join(target, name), 5, 5);
    expect(await restore(stored)).toMatchObject({ kept: 2, fetchedBytes: 0 });
    expect(lstatSync(join(target, 'a')).ino).toBe(inode);
    expect(compareTrees(original, target)).toEqual([]);
  });

  test('with another time and other bytes is written anew', async () => {
    const stored = await given({ a: file(300_000), b: file(100) });
    await restore(stored);
    for (const [name, size] of [
      ['a', 300_000],
      ['b', 100],
    ] as const)
      writeFileSync(join(target, name), contentOf(size, 9));
    expect(await restore(stored)).toMatchObject({ kept: 0 });
    expect(compareTrees(original, target)).toEqual([]);
  });

  test('and time but other bytes is seen with verifyExisting only', async () => {
    const stored = await given({ a: file(300_000) });
    await restore(stored);
    const { atime, mtime } = lstatSync(join(target, 'a'));
    const { mtimeNs } = lstatSync(join(original, 'a'), { bigint: true });
    writeFileSync(join(target, 'a'), contentOf(300_000, 9));
    utimesSync(join(target, 'a'), atime, Number(mtimeNs / 1000n) / 1e6 + 5e-7);
    expect(mtime).toBeDefined();
    expect(await restore(stored)).toMatchObject({ kept: 1 });
    expect(await restore(stored, { verifyExisting: true })).toMatchObject({ kept: 0 });
    expect(compareTrees(original, target)).toEqual([]);
  });

  test('that shares its inode with another file of the tree is not kept for both', async () => {
    const stored = await given({ a: file(5_000), b: file(5_000) });
    await restore(stored);
    unlinkSync(join(target, 'b'));
    linkSync(join(target, 'a'), join(target, 'b'));
    await restore(stored);
    expect(compareTrees(original, target)).toEqual([]);
  });

  test('is not trusted after a crash of the machine during a restore', async () => {
    const stored = await given({ a: file(300_000) });
    await restore(stored);
    const { mtimeNs } = lstatSync(join(original, 'a'), { bigint: true });
    writeFileSync(join(target, 'a'), Buffer.alloc(300_000));
    utimesSync(join(target, 'a'), 5, Number(mtimeNs / 1000n) / 1e6 + 5e-7);
    mkdirSync(join(target, '.homarus'));
    writeFileSync(join(target, '.homarus', 'restoring'), 'another boot');
    expect(await restore(stored)).toMatchObject({ kept: 0 });
    expect(compareTrees(original, target)).toEqual([]);
    expect(existsSync(join(target, '.homarus', 'restoring'))).toBe(false);
  });
});

describe('what the tree does not have', () => {
  test('is removed, but never the link directory, a state directory, or what leads to them', async () => {
    const stored = await given({ a: file(10) });
    makeTree(target, {
      extra: {
        type: 'directory',
        mode: 0o755,
        entries: { deep: { type: 'directory', mode: 0o500, entries: { x: file(5) } } },
      },
      var: {
        type: 'directory',
        mode: 0o755,
        entries: { links: { type: 'directory', mode: 0o700, entries: { keep: file(5) } }, gone: file(5) },
      },
      state: { type: 'directory', mode: 0o755, entries: { mine: file(5) } },
    });
    const counts = await restore(stored, {
      roots: [{ path: target, linkDir: join(target, 'var/links'), stateDir: join(target, 'state'), tree: stored.tree }],
    });
    expect(counts.removed).toBe(4);
    expect(readdirSync(target).sort()).toEqual(['a', 'state', 'var']);
    expect(readdirSync(join(target, 'var/links'))).toEqual(['keep']);
    expect(readdirSync(join(target, 'state'))).toEqual(['mine']);
  });

  test('is left alone where the selection does not cover it', async () => {
    const stored = await given({
      a: { type: 'directory', mode: 0o750, entries: { in: file(2_000), more: file(10) } },
      b: file(10),
    });
    makeTree(target, {
      a: { type: 'directory', mode: 0o711, entries: { other: file(7), in: file(3) } },
      stays: file(10),
    });
    const before = lstatSync(join(target, 'a')).mode;
    expect(await restore(stored, { select: only('a/in'), bases: ['a/in'] })).toMatchObject({ files: 1, removed: 0 });
    expect(readdirSync(target).sort()).toEqual(['a', 'stays']);
    expect(readdirSync(join(target, 'a')).sort()).toEqual(['in', 'other']);
    expect(lstatSync(join(target, 'a')).mode).toBe(before);
    expect(readFileSync(join(target, 'a/in'))).toEqual(contentOf(2_000, 1));
  });

  test('cannot be removed where it is in the way of a file and holds what must stay', async () => {
    const stored = await given({ var: file(10) });
    makeTree(target, { var: { type: 'directory', mode: 0o755, entries: { secret: file(5) } } });
    const select = { ...everything, file: (path: string) => path !== 'var/secret' };
    const before = listing(target);
    await expect(restore(stored, { select })).rejects.toMatchObject({ code: 'UnsafePath' });
    expect(listing(target).filter((line) => !line.startsWith('.homarus'))).toEqual(before);
  });
});

describe('a part of a tree', () => {
  test('makes the directories that lead to it as the backup has them, and no others', async () => {
    const stored = await given({
      a: {
        type: 'directory',
        mode: 0o750,
        entries: { b: { type: 'directory', mode: 0o701, entries: { c: file(500), d: file(10) } } },
      },
      z: { type: 'directory', mode: 0o755, entries: {} },
    });
    await restore(stored, { select: { ...only('a/b/c'), directory: () => true } });
    expect(readdirSync(target)).toEqual(['a']);
    expect(lstatSync(join(target, 'a')).mode & 0o7777).toBe(0o750);
    expect(lstatSync(join(target, 'a/b')).mode & 0o7777).toBe(0o701);
    expect(readdirSync(join(target, 'a/b'))).toEqual(['c']);
  });

  test('with hard links to files outside of it has the content once', async () => {
    const stored = await given({ a: file(5_000), b: { type: 'directory', mode: 0o755, entries: {} } });
    linkSync(join(original, 'a'), join(original, 'b/one'));
    linkSync(join(original, 'a'), join(original, 'b/two'));
    const linked = await storeTree(repository, original);
    expect(stored.rows.length).toBeLessThan(linked.rows.length);
    await restore(linked, { select: only('b'), bases: ['b'] });
    expect(readdirSync(target)).toEqual(['b']);
    expect(readFileSync(join(target, 'b/one'))).toEqual(contentOf(5_000, 1));
    expect(lstatSync(join(target, 'b/one')).ino).toBe(lstatSync(join(target, 'b/two')).ino);
  });
});

describe('a link in the way', () => {
  test('is replaced by a real directory, and nothing is written through it', async () => {
    const stored = await given({ a: { type: 'directory', mode: 0o755, entries: { b: file(5_000), c: file(3) } } });
    const outside = join(base, 'outside');
    makeTree(outside, { b: file(9), other: file(3) });
    const before = listing(outside);
    mkdirSync(target);
    symlinkSync(outside, join(target, 'a'));
    await restore(stored);
    expect(compareTrees(original, target)).toEqual([]);
    expect(listing(outside)).toEqual(before);
  });

  test('in place of the link directory is refused', async () => {
    const stored = await given({ a: file(5_000) });
    mkdirSync(join(base, 'outside'));
    mkdirSync(target);
    symlinkSync(join(base, 'outside'), join(target, '.homarus'));
    await expect(restore(stored)).rejects.toMatchObject({ code: 'UnsafePath' });
    expect(readdirSync(join(base, 'outside'))).toEqual([]);
  });

  test('that the tree itself plants is not followed', async () => {
    makeTree(original, { a: { type: 'directory', mode: 0o755, entries: { b: file(5_000) } } });
    mkdirSync(join(base, 'outside'));
    const evil = await storeTree(repository, original, {
      change: (rows) =>
        rows.map((row) => (row.path === 'a' ? { ...row, type: 'symlink', target: join(base, 'outside') } : row)),
    });
    await expect(restore(evil)).rejects.toBeDefined();
    expect(readdirSync(join(base, 'outside'))).toEqual([]);
  });

  test('may be the root itself', async () => {
    const stored = await given({ a: file(5_000) });
    mkdirSync(join(base, 'real'));
    symlinkSync('real', target);
    await restore(stored);
    expect(readlinkSync(target)).toBe('real');
    expect(compareTrees(original, join(base, 'real'))).toEqual([]);
  });
});

test('a path that leads out of the root is refused', async () => {
  makeTree(original, { a: { type: 'directory', mode: 0o755, entries: { b: file(5_000) } } });
  const evil = await storeTree(repository, original, {
    change: (rows) => rows.map((row) => (row.path === 'a/b' ? { ...row, path: 'a/../../b' } : row)),
  });
  await expect(restore(evil)).rejects.toMatchObject({ code: 'UnsafePath' });
  expect(existsSync(join(base, 'b'))).toBe(false);
});

test('a tree that has what stands in our own place is refused before anything is changed', async () => {
  makeTree(original, { '.homarus-': file(3), own: { type: 'directory', mode: 0o755, entries: { b: file(5) } } });
  const stored = await storeTree(repository, original);
  makeTree(target, { keep: file(3) });
  const roots = [{ path: target, linkDir: join(target, 'own'), tree: stored.tree }];
  await expect(restore(stored, { roots })).rejects.toThrow(/the backup has "own", where homarus keeps its own files/);
  expect(existsSync(join(target, 'keep'))).toBe(true);
});

describe('what is missing or damaged in the storage', () => {
  test('a chunk that no index has is named, with a file that it costs, and nothing is changed', async () => {
    const stored = await given({ a: file(5_000), b: file(9_000, 3) });
    const changed = await storeTree(repository, original, {
      change: (rows) =>
        rows.map((row) => (row.path === 'b' ? { ...row, chunks: Buffer.alloc(36, 7), size: 0x07070707 } : row)),
    });
    makeTree(target, { a: file(4) });
    const before = listing(target);
    await expect(
      restore(changed, { roots: [{ path: target, linkDir: join(target, '.homarus'), tree: changed.tree }] }),
    ).rejects.toMatchObject({ code: 'ObjectMissing', message: expect.stringContaining('"b"') });
    expect(listing(target).filter((line) => !line.startsWith('.homarus'))).toEqual(before);
    expect(stored.rows.length).toBe(3);
  });

  test('a pack that is gone is named, and what was there stays', async () => {
    const stored = await given({ a: file(500_000) });
    makeTree(target, { a: file(400_000, 8) });
    // The last one holds the tree.
    const [lost] = [...stored.packs].slice(0, 1);
    await store.remove([`packs/${lost}`]);
    await expect(restore(stored)).rejects.toMatchObject({
      code: 'ObjectMissing',
      message: expect.stringContaining(lost!),
    });
    expect(readFileSync(join(target, 'a'))).toEqual(contentOf(400_000, 8));
    expect(readdirSync(join(target, '.homarus')).filter((name) => name.startsWith('restore-'))).toEqual([]);
  });
});

test('no space is said before anything is changed, with what is needed and what is free', async () => {
  // One chunk, which says that it is long, again and again: more than this disk has.
  makeTree(original, { a: file(65_536), b: file(5_000, 2) });
  const size = 2 ** 25;
  // Twice what is free: others on this machine may delete files meanwhile.
  const times = Math.ceil((2 * freeBytes(base)) / size);
  const long = (chunk: Buffer): Buffer => {
    const record = Buffer.from(chunk.subarray(0, CHUNK_BYTES));
    record.writeUInt32LE(size, HASH_BYTES);
    return record;
  };
  const huge = await storeTree(repository, original, {
    change: (rows) =>
      rows.map((row) =>
        row.path === 'a' && row.chunks
          ? { ...row, size: times * size, chunks: Buffer.alloc(times * CHUNK_BYTES, long(row.chunks)) }
          : row,
      ),
  });
  makeTree(target, { extra: file(4) });
  await expect(restore(huge)).rejects.toMatchObject({
    code: 'NoSpace',
    message: expect.stringMatching(
      /the file system of .*target is too small: .* GiB .* are to be written, .* are free/,
    ),
  });
  expect(readdirSync(target).sort()).toEqual(['.homarus', 'extra']);
});

test('stopped in the middle and run again it comes to the same end', async () => {
  const stored = await given({ ...sample, more: file(900_000, 11), 'even more': file(900_000, 12) });
  makeTree(target, { extra: file(10), 'big file': file(10) });
  const unhurried = jobs;
  let stops = 0;
  try {
    for (let after = 5; await isStopped(stored, after); after += 15) {
      stops++;
      expect(readdirSync(join(target, '.homarus')).filter((name) => name.startsWith('restore-'))).toEqual([]);
    }
  } finally {
    jobs = unhurried;
  }
  expect(stops).toBeGreaterThan(1);
  expect(compareTrees(original, target)).toEqual([]);
});

/** Restores until it has asked so often whether it is to stop; false when it ended before. */
async function isStopped(stored: StoredTree, after: number): Promise<boolean> {
  jobs = givenContext(1);
  const { context, stop, close } = jobs;
  const { throwIfStopped } = context;
  let asked = 0;
  const counting = {
    throwIfStopped() {
      if (++asked === after) stop();
      throwIfStopped();
    },
  };
  Object.assign(context, counting);
  try {
    await restore(stored);
    return false;
  } catch (error) {
    expect(error).toMatchObject({ code: 'Cancelled' });
    return true;
  } finally {
    await close();
  }
}

test('two roots are restored together', async () => {
  const stored = await given(sample);
  const second = join(base, 'second');
  const roots = [target, second].map((path) => ({ path, linkDir: join(path, '.homarus'), tree: stored.tree }));
  await restore(stored, { roots });
  for (const path of [target, second]) expect(compareTrees(original, path)).toEqual([]);
});

test('what a killed restore left is taken away', async () => {
  const stored = await given({ a: file(5_000) });
  mkdirSync(join(target, '.homarus', 'restore-another', 'x'), { recursive: true });
  writeFileSync(join(target, '.homarus', 'restore-another', '1'), 'half');
  await restore(stored);
  expect(readdirSync(join(target, '.homarus'))).toEqual([]);
});
