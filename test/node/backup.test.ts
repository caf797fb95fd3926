import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { HomarusError } from '../../src/domain/errors.ts';
import type { NodeSettings } from '../../src/node/settings.ts';
import { createRepository } from '../../src/storage/create.ts';
import type { ObjectStore } from '../../src/storage/objectStore.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { ScriptedStore } from '../storage/scripted.ts';
import { asNobody } from '../support/asNobody.ts';
import { backUp, givenNode, remove, restoreTo } from '../support/backUp.ts';
import { givenContext } from '../support/jobs.ts';
import { smallParameters } from '../support/storeTree.ts';
import type { Tree } from '../support/trees.ts';
import { compareTrees, makeTree, trees } from '../support/trees.ts';

/** A node's part of a backup and of a restore, end to end in one process: snapshot, plan, upload, commit, finish. */

let base: string;
let store: ScriptedStore;
let repository: Repository;
let jobs: ReturnType<typeof givenContext>;
let node: NodeSettings;

beforeAll(() => {
  jobs = givenContext();
});
afterAll(() => jobs.close());
beforeEach(async () => {
  base = mkdtempSync(join(tmpdir(), 'homarus-backup-'));
  store = new ScriptedStore();
  ({ repository } = await createRepository(store, { cluster: 'east', ...smallParameters }));
  node = givenNode(base);
  jobs.warnings.length = 0;
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const root = (): string => node.roots[0]!.path;
const packs = (): string[] => [...store.objects.keys()].filter((key) => key.startsWith('packs/'));
const file = (size: number, seed = 1) => ({ type: 'file' as const, size, seed, mode: 0o644 });
const at = (...names: string[]): string => join(root(), ...names);

const sample: Tree = {
  big: file(700_001),
  empty: file(0),
  inline: file(128, 2),
  '.hidden': file(9_000, 3),
  dir: {
    type: 'directory',
    mode: 0o700,
    entries: { a: file(5_000, 4), sub: { type: 'directory', mode: 0o755, entries: {} } },
  },
  'new\nline': file(300, 5),
  '-dash': file(2_000, 6),
  '\xff\xfe': file(200, 7),
  twin: file(200_000, 8),
  'twin-2': { type: 'hardlink' },
  link: { type: 'symlink', target: 'big' },
};

test('whatever a tree holds comes back to another machine', async () => {
  await fc.assert(
    fc.asyncProperty(trees, async (tree) => {
      const own = mkdtempSync(join(base, 'run-'));
      const source = givenNode(own, 'a');
      const target = givenNode(join(own, 'other'), 'a');
      makeTree(source.roots[0]!.path, tree);
      const { receipt } = await backUp(repository, jobs.context, { nodes: [source] });
      await restoreTo(repository, jobs.context, receipt.backup, target);
      expect(compareTrees(source.roots[0]!.path, target.roots[0]!.path)).toEqual([]);
    }),
    { numRuns: 15 },
  );
});

test('what nodes have alike is stored once, and each gets back its own', async () => {
  const other = givenNode(base, 'n2');
  makeTree(root(), sample);
  makeTree(other.roots[0]!.path, { ...sample, own: file(50_000, 9) });
  const { receipt, uploads } = await backUp(repository, jobs.context, { nodes: [node, other] });
  expect(receipt.bytes).toBeGreaterThan(1_800_000);
  expect(uploads.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(1_100_000);
  rmSync(join(other.roots[0]!.path, 'own'));
  await restoreTo(repository, jobs.context, receipt.backup, other);
  expect(readFileSync(join(other.roots[0]!.path, 'own')).length).toBe(50_000);
});

describe('a second backup', () => {
  test('of what did not change reads, links and stores nothing', async () => {
    makeTree(root(), sample);
    await backUp(repository, jobs.context, { nodes: [node] });
    const stored = packs();
    const { snapshots, uploads, receipt } = await backUp(repository, jobs.context, { nodes: [node] });
    expect(snapshots[0]).toMatchObject({ linked: 0, hashedBytes: 0, unchanged: 9 });
    expect(uploads).toEqual([]);
    expect(packs()).toEqual(stored);
    rmSync(at('dir'), { recursive: true });
    await restoreTo(repository, jobs.context, receipt.backup, node);
    expect(readFileSync(at('dir', 'a')).length).toBe(5_000);
  });

  test('reads nothing either when the state directory was lost', async () => {
    makeTree(root(), sample);
    await backUp(repository, jobs.context, { nodes: [node] });
    rmSync(node.stateDir, { recursive: true });
    const { snapshots } = await backUp(repository, jobs.context, { nodes: [node] });
    expect(snapshots[0]).toMatchObject({ linked: 0, hashedBytes: 0 });
  });

  test('stores again what the storage has lost sight of, without reading it twice', async () => {
    makeTree(root(), sample);
    await backUp(repository, jobs.context, { nodes: [node] });
    // Another repository knows nothing of it.
    const another = new ScriptedStore();
    const fresh = await createRepository(another, { cluster: 'east', ...smallParameters });
    const { uploads } = await backUp(fresh.repository, jobs.context, { nodes: [node] });
    expect(uploads[0]?.bytes).toBeGreaterThan(900_000);
  });

  test('stores again what went with the backup that the node remembers, without reading it', async () => {
    makeTree(root(), sample);
    const { receipt } = await backUp(repository, jobs.context, { nodes: [node] });
    await remove(repository, receipt.backup, base);
    expect(packs()).toEqual([]);
    const again = await backUp(repository, jobs.context, { nodes: [node] });
    expect(again.snapshots[0]).toMatchObject({ hashedBytes: 0, linked: 7 });
    expect(again.uploads[0]?.bytes).toBeGreaterThan(900_000);
    const target = givenNode(join(base, 'other'));
    await restoreTo(repository, jobs.context, again.receipt.backup, target);
    expect(compareTrees(root(), target.roots[0]!.path)).toEqual([]);
  });

  test('of a changed file stores that file alone', async () => {
    makeTree(root(), sample);
    await backUp(repository, jobs.context, { nodes: [node] });
    writeFileSync(at('dir', 'a'), Buffer.alloc(6_000, 'x'));
    const { snapshots, uploads } = await backUp(repository, jobs.context, { nodes: [node] });
    expect(snapshots[0]).toMatchObject({ linked: 1, hashedBytes: 6_000 });
    // And the page of the tree that names it.
    expect(uploads[0]!.bytes).toBeLessThan(10_000);
  });

  test('sees a rewrite that left size and mtime as they were, when it came shortly after the first', async () => {
    writeFileSync(at('fast'), Buffer.alloc(5_000, 'a'));
    const time = new Date();
    utimesSync(at('fast'), time, time);
    await backUp(repository, jobs.context, { nodes: [node] });
    writeFileSync(at('fast'), Buffer.alloc(5_000, 'b'));
    utimesSync(at('fast'), time, time);
    const { receipt } = await backUp(repository, jobs.context, { nodes: [node] });
    rmSync(at('fast'));
    await restoreTo(repository, jobs.context, receipt.backup, node);
    expect(readFileSync(at('fast'))).toEqual(Buffer.alloc(5_000, 'b'));
  });
});

describe('a file that changes while it is backed up', () => {
  const during = (change: () => void) => backUp(repository, jobs.context, { nodes: [node], beforeUpload: change });
  const restored = async (backup: string): Promise<Buffer> => {
    rmSync(at('f'), { force: true });
    await restoreTo(repository, jobs.context, backup, node);
    return readFileSync(at('f'));
  };
  const before = Buffer.alloc(100_000, 'a');
  beforeEach(() => writeFileSync(at('f'), before));

  test('in place fails the attempt by its name, and no mixture is stored', async () => {
    const backup = during(() => writeFileSync(at('f'), Buffer.alloc(100_000, 'b'), { flag: 'r+' }));
    await expect(backup).rejects.toMatchObject({
      code: 'FileChanged',
      message: expect.stringMatching(/node n1, root data: file f was changed in place/),
    });
  });

  test('by growing is stored up to the size that it had', async () => {
    const { receipt } = await during(() => appendFileSync(at('f'), 'more'));
    expect(await restored(receipt.backup)).toEqual(before);
  });

  test('by a rename over it is stored as it was linked', async () => {
    const { receipt } = await during(() => {
      writeFileSync(at('g'), 'new');
      renameSync(at('g'), at('f'));
    });
    expect(await restored(receipt.backup)).toEqual(before);
  });

  test('by being removed is stored as it was linked', async () => {
    const { receipt } = await during(() => rmSync(at('f')));
    expect(await restored(receipt.backup)).toEqual(before);
  });

  /** As the walk comes to `path`, which it has looked at already. */
  const as = (path: string, change: () => void) =>
    backUp(repository, { ...jobs.context, at: (what) => (what === path ? change() : undefined) }, { nodes: [node] });

  test('by losing its first name is stored under the next', async () => {
    for (const name of ['g', 'h']) linkSync(at('f'), at(name));
    const { receipt } = await as('f', () => rmSync(at('f')));
    for (const name of ['g', 'h']) rmSync(at(name));
    await restoreTo(repository, jobs.context, receipt.backup, node);
    for (const name of ['g', 'h']) expect(readFileSync(at(name))).toEqual(before);
  });

  test('by being cut short has the same content under all of its names', async () => {
    linkSync(at('f'), at('g'));
    const { receipt } = await as('f', () => truncateSync(at('f'), 10));
    expect(await restored(receipt.backup)).toEqual(before.subarray(0, 10));
    expect(statSync(at('g')).ino).toBe(statSync(at('f')).ino);
  });
});

test('FIFOs and sockets are left out, counted, and told', async () => {
  makeTree(root(), { a: file(3_000) });
  execFileSync('mkfifo', [at('pipe')]);
  const { receipt } = await backUp(repository, jobs.context, { nodes: [node] });
  expect(receipt).toMatchObject({ files: 1, skipped: 1 });
  expect(jobs.warnings.join()).toMatch(/root data: 1 FIFOs, sockets or devices were skipped, the first is "pipe"/);
});

describe('an unreadable file', () => {
  beforeEach(async () => {
    makeTree(root(), { readable: file(3_000) });
    // The threads load their modules while we may read them.
    await backUp(repository, jobs.context, { nodes: [node] });
    writeFileSync(at('secret'), 'x'.repeat(3_000), { mode: 0 });
  });

  test('fails the backup by its name', async () => {
    const backup = asNobody(base, () => backUp(repository, jobs.context, { nodes: [node] }));
    await expect(backup).rejects.toMatchObject({
      code: 'FileUnreadable',
      message: expect.stringMatching(/^node n1, root data: "secret" cannot be read: .*EACCES/),
    });
  });

  test('is left out, counted and told where the configuration says so', async () => {
    const options = { nodes: [node], snapshot: { onUnreadable: 'skip' as const } };
    const { receipt } = await asNobody(base, () => backUp(repository, jobs.context, options));
    expect(receipt).toMatchObject({ files: 1, skipped: 1 });
    expect(jobs.warnings.join()).toMatch(/1 unreadable files or directories were skipped, the first is "secret"/);
  });
});

test('a link directory on another file system is refused, naming both', async () => {
  const linkDir = mkdtempSync('/dev/shm/homarus-links-');
  try {
    const elsewhere = { ...node, roots: [{ ...node.roots[0]!, linkDir }] };
    await expect(backUp(repository, jobs.context, { nodes: [elsewhere] })).rejects.toMatchObject({
      code: 'DifferentFileSystem',
      message: expect.stringContaining(`the link directory ${linkDir} cannot hold links to ${root()}`),
    });
  } finally {
    rmSync(linkDir, { recursive: true });
  }
});

test('globs choose, dotfiles among them, and a restore leaves alone what backups exclude', async () => {
  makeTree(root(), sample);
  const snapshot = { select: { include: [], exclude: ['**/.hidden', 'dir'] } };
  const { receipt } = await backUp(repository, jobs.context, { nodes: [node], snapshot });
  const target = givenNode(join(base, 'other'));
  await restoreTo(repository, jobs.context, receipt.backup, target);
  const names = readdirSync(target.roots[0]!.path);
  expect(names).toContain('big');
  expect(names).not.toContain('.hidden');
  expect(names).not.toContain('dir');
});

test('a restore into place removes what backups take, and leaves alone what they leave out', async () => {
  makeTree(root(), { a: file(3_000) });
  mkdirSync(at('dir'));
  const select = { include: ['**/*.db'], exclude: ['**/own.db'] };
  for (const name of ['one.db', 'own.db', 'log', 'dir/two.db']) writeFileSync(at(name), name);
  const { receipt } = await backUp(repository, jobs.context, { nodes: [node], snapshot: { select } });
  writeFileSync(at('dir/extra.db'), 'x');
  rmSync(at('one.db'));
  expect(await restoreTo(repository, jobs.context, receipt.backup, node, node.id, select)).toMatchObject({
    removed: 1,
  });
  expect(readdirSync(root()).sort()).toEqual(['.homarus', 'a', 'dir', 'log', 'one.db', 'own.db']);
  expect(readdirSync(at('dir'))).toEqual(['two.db']);
});

test('our own links and state are never part of a backup, and nothing of them is left', async () => {
  makeTree(root(), sample);
  const inside = { ...node, stateDir: at('state') };
  let linked = 0;
  await backUp(repository, jobs.context, {
    nodes: [inside],
    beforeUpload: () => {
      linked = readdirSync(at('.homarus')).length;
    },
  });
  expect(linked).toBe(1);
  expect(readdirSync(at('.homarus'))).toEqual([]);
  expect(readdirSync(at('state', 'work'))).toEqual([]);
  const target = givenNode(join(base, 'other'));
  await restoreTo(repository, jobs.context, 'latest', target).catch(() => undefined);
  expect(readdirSync(target.roots[0]!.path)).not.toContain('state');
});

test('links and half restored files that a killed process left are taken away by the next snapshot', async () => {
  makeTree(root(), { a: file(3_000) });
  mkdirSync(at('.homarus', '7-backup-killed', '000'), { recursive: true });
  writeFileSync(at('.homarus', '7-backup-killed', '000', '1'), 'x');
  writeFileSync(at('.homarus', 'probe-1'), '');
  mkdirSync(at('.homarus', 'restore-killed'));
  writeFileSync(at('.homarus', 'restore-killed', '1'), 'half a file');
  await backUp(repository, jobs.context, { nodes: [node] });
  expect(readdirSync(at('.homarus'))).toEqual([]);
});

test('a backup that died leaves packs that the next one adopts: nothing is sent twice', async () => {
  makeTree(root(), sample);
  const dying = backUp(repository, jobs.context, {
    nodes: [node],
    beforeCommit: () => {
      throw new Error('killed');
    },
  });
  await expect(dying).rejects.toThrow('killed');
  const stored = packs();
  expect(stored.length).toBeGreaterThan(1);
  const { uploads, receipt } = await backUp(repository, jobs.context, { nodes: [node] });
  expect(uploads).toEqual([]);
  expect(packs()).toEqual(stored);
  const target = givenNode(join(base, 'other'));
  await restoreTo(repository, jobs.context, receipt.backup, target);
  expect(compareTrees(root(), target.roots[0]!.path)).toEqual([]);
});

test('a node needs no right to delete, to overwrite, or to write anything but packs and staged lists', async () => {
  makeTree(root(), sample);
  const asNode = { ...repository, store: leastRights(store) };
  const { receipt } = await backUp(repository, jobs.context, { nodes: [node], asNode });
  rmSync(at('big'));
  await restoreTo(asNode, jobs.context, receipt.backup, node);
  expect(readFileSync(at('big')).length).toBe(700_001);
});

/** Refuses what examples/s3-node-policy.json does not grant. */
function leastRights(all: ScriptedStore): ObjectStore {
  const refuse = (verb: string, key: string): never => {
    throw new HomarusError('StoreForbidden', `${verb} ${key} is not allowed`);
  };
  return {
    description: all.description,
    create: (key, body) =>
      /^(packs|staging)\//.test(key) && !all.objects.has(key) ? all.create(key, body) : refuse('create', key),
    overwrite: async (key) => refuse('overwrite', key),
    remove: async (keys) => refuse('remove', keys.join()),
    removeUnfinished: async () => refuse('remove', 'unfinished uploads'),
    read: (key, range) => all.read(key, range),
    stat: (key) => all.stat(key),
    list: (prefix, options) => all.list(prefix, options),
    now: () => all.now(),
    close: () => all.close(),
  };
}
