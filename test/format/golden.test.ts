import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { listBackups } from '../../src/client/reading.ts';
import { createRepository } from '../../src/storage/create.ts';
import { FileStore } from '../../src/storage/fileStore.ts';
import { addSlot, listSlots, rotateDataKey } from '../../src/storage/keyChanges.ts';
import { pin } from '../../src/storage/marks.ts';
import type { OpenOptions, Repository } from '../../src/storage/repository.ts';
import { openRepository } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import { readSecret } from '../../src/storage/secret.ts';
import { backUp, givenNode, restoreTo } from '../support/backUp.ts';
import { givenContext } from '../support/jobs.ts';
import type { Tree } from '../support/trees.ts';
import { contentOf, makeTree } from '../support/trees.ts';
import type { ReaderSecret } from './reader.ts';
import { RepositoryReader } from './reader.ts';

/**
 * Repositories as the first release wrote them, in test/golden/: every later version reads them, and goes on with them.
 * They are made by this file, once, with `HOMARUS_RECORD=1 npm test -- --selectProjects unit test/format/golden.test.ts`, and
 * never again: what is stored may get companions (another directory for another version), but does not change.
 */
const golden = new URL('../golden/', import.meta.url).pathname;
const PASSPHRASE = 'golden passphrase';
const KEY_FILE = 'golden key file of at least 32 bytes, not random';
process.env.HOMARUS_TEST_GOLDEN = PASSPHRASE;
const passphrase = { passphraseEnv: 'HOMARUS_TEST_GOLDEN' };

const file = (size: number, seed: number, mode = 0o640) => ({ type: 'file' as const, size, seed, mode });
const first: Tree = {
  empty: file(0, 1),
  inline: file(100, 2),
  large: file(9_000, 3, 0o400),
  linked: { type: 'hardlink' },
  link: { type: 'symlink', target: 'large' },
  'caf\xe9 ~': {
    type: 'directory',
    mode: 0o750,
    entries: { small: file(700, 4), sparse: { ...file(70_000, 5), sparse: true } },
  },
};
/** Beside those of the first backup. */
const second: Tree = { later: file(3_000, 6) };

let base: string;
let jobs: ReturnType<typeof givenContext>;
beforeAll(async () => {
  jobs = givenContext();
  if (process.env.HOMARUS_RECORD) for (const name of ['plain', 'encrypted']) await record(name);
});
afterAll(() => jobs.close());
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'homarus-golden-'));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

async function record(name: string): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'homarus-golden-'));
  const path = join(golden, name);
  rmSync(path, { recursive: true, force: true });
  await FileStore.make(path);
  const { repository } = await createRepository(new FileStore(path), {
    cluster: 'golden',
    chunker: { kind: 'fixed', size: 4_096, minimum: 1_024, inline: 128 },
    pack: { size: 8_192, block: 2_048 },
    ...(name === 'encrypted' ? { encryption: passphrase, scrypt: { n: 1_024, r: 8, p: 1 }, label: 'first' } : {}),
  });
  const node = givenNode(directory);
  makeTree(node.roots[0]!.path, first);
  const { receipt } = await backUp(repository, jobs.context, { nodes: [node] });
  await pin(repository, receipt.backup, { by: 'golden', note: 'kept' });
  if (name === 'encrypted') {
    const secret = { kind: 'keyFile', bytes: Buffer.from(KEY_FILE) } as const;
    await addSlot(repository, secret, { by: 'golden', label: 'second' });
    await rotateDataKey(repository, { by: 'golden' });
  }
  makeTree(node.roots[0]!.path, second);
  await backUp(repository, jobs.context, { nodes: [node] });
  // What the workflow removes at its end.
  rmSync(join(path, 'staging'), { recursive: true });
  rmSync(directory, { recursive: true });
}

/** Of every file, by its path. */
const contents = (tree: Tree): Record<string, Buffer> =>
  Object.fromEntries(
    Object.entries(tree).flatMap(([name, entry]): [string, Buffer][] => {
      if (entry.type === 'directory') {
        return Object.entries(contents(entry.entries)).map(([path, content]) => [`${name}/${path}`, content]);
      }
      if (entry.type === 'hardlink') return [[name, contentOf(9_000, 3)]];
      if (entry.type !== 'file') return [];
      const content = contentOf(entry.size, entry.seed);
      return [[name, entry.sparse ? content.fill(0, 0, entry.size - 100) : content]];
    }),
  );

function sameFiles(directory: string, tree: Tree): void {
  const expected = Object.entries(contents(tree));
  for (const [path, content] of expected) {
    const read = readFileSync(Buffer.from(`${directory}/${path}`, 'latin1'));
    expect({ path, same: read.equals(content) }).toEqual({ path, same: true });
  }
}

describe.each<[string, OpenOptions, ReaderSecret[]]>([
  ['plain', {}, []],
  ['encrypted', { encryption: passphrase }, [{ passphrase: PASSPHRASE }, { keyFile: Buffer.from(KEY_FILE) }]],
])('the %s golden repository', (name, options, secrets) => {
  let repository: Repository;
  beforeEach(async () => {
    // A copy: what reads it may write beside it.
    cpSync(join(golden, name), join(base, 'store'), { recursive: true });
    repository = await openRepository(new FileStore(join(base, 'store')), { cluster: 'golden', ...options });
  });

  test('lists its backups, and restores each of them', async () => {
    const listed = await listBackups({ repository, at: await presentRoot(repository) });
    expect(listed).toMatchObject([
      { files: 6, pinned: false, nodes: 1 },
      { files: 5, pinned: true, nodes: 1 },
    ]);
    for (const [place, tree] of [{ ...first, ...second }, first].entries()) {
      const node = givenNode(base, `target${place}`);
      await restoreTo(repository, jobs.context, listed[place]!.name, node, 'n1');
      sameFiles(node.roots[0]!.path, tree);
    }
  });

  test('is read by the format alone', () => {
    for (const secret of secrets.length > 0 ? secrets : [undefined]) {
      const reader = new RepositoryReader(join(golden, name), secret);
      const root = reader.root();
      reader.readIndexes(root);
      const files = reader.files(reader.manifest(root.backups.at(-1)).nodes[0].roots[0].tree);
      for (const [path, content] of Object.entries(contents({ ...first, ...second }))) {
        if (path !== 'linked') expect({ path, same: files.get(path)?.equals(content) }).toEqual({ path, same: true });
      }
    }
  });

  test('takes a new backup, which shares what is there', async () => {
    const node = givenNode(base);
    makeTree(node.roots[0]!.path, { ...first, ...second });
    const { receipt } = await backUp(repository, jobs.context, { nodes: [node] });
    // Its tree alone may be new.
    expect(receipt.added).toBeLessThan(2_000);
    const target = givenNode(base, 'target');
    await restoreTo(repository, jobs.context, receipt.backup, target, 'n1');
    sameFiles(target.roots[0]!.path, { ...first, ...second });
  });
});

test('the keys of the encrypted golden repository are those that it was given', async () => {
  const opened = await openRepository(new FileStore(join(golden, 'encrypted')), { encryption: passphrase });
  const at = await presentRoot(opened);
  expect(at.root.keys?.generation).toBe(2);
  expect(await listSlots(opened, at)).toMatchObject([
    { kind: 'passphrase', label: 'first', used: true },
    { kind: 'keyFile', label: 'second', used: false },
  ]);
  process.env.HOMARUS_TEST_GOLDEN_WRONG = 'golden passphrase.';
  const wrong = { passphraseEnv: 'HOMARUS_TEST_GOLDEN_WRONG' };
  expect((await readSecret(wrong)).bytes.length).toBe(PASSPHRASE.length + 1);
  await expect(openRepository(new FileStore(join(golden, 'encrypted')), { encryption: wrong })).rejects.toMatchObject({
    code: 'KeyWrong',
  });
});
