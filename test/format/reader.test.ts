import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createRepository } from '../../src/storage/create.ts';
import { FileStore } from '../../src/storage/fileStore.ts';
import { addSlot, rotateDataKey } from '../../src/storage/keyChanges.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { encrypted } from '../storage/given.ts';
import { backUp, givenNode } from '../support/backUp.ts';
import { givenContext } from '../support/jobs.ts';
import { smallParameters } from '../support/storeTree.ts';
import type { Tree } from '../support/trees.ts';
import { makeTree } from '../support/trees.ts';
import type { ReaderSecret } from './reader.ts';
import { RepositoryReader } from './reader.ts';

let base: string;
let store: string;
let jobs: ReturnType<typeof givenContext>;
beforeEach(async () => {
  jobs = givenContext();
  base = mkdtempSync(join(tmpdir(), 'homarus-format-'));
  store = join(base, 'store');
  await FileStore.make(store);
});
afterEach(async () => {
  await jobs.close();
  rmSync(base, { recursive: true });
});

const file = (size: number, seed: number) => ({ type: 'file' as const, size, seed, mode: 0o600 });

async function backedUp(repository: Repository, tree: Tree): Promise<string> {
  const node = givenNode(base);
  const { path } = node.roots[0]!;
  makeTree(path, tree);
  await backUp(repository, jobs.context, { nodes: [node] });
  return path;
}

/** Reads all files of the newest backup, and compares them with those that are there. */
function readBy(reader: RepositoryReader, path: string): number {
  const root = reader.root();
  const manifest = reader.manifest(root.backups.at(-1));
  reader.readIndexes(root);
  const files = reader.files(manifest.nodes[0].roots[0].tree);
  expect(files.size).toBe(manifest.totals.files);
  for (const [name, content] of files) {
    expect(readFileSync(Buffer.from(`${path}/${name}`, 'latin1')).equals(content)).toBe(true);
  }
  return files.size;
}

test('a stranger who knows docs/format.md alone restores the files of a backup', async () => {
  const { repository } = await createRepository(new FileStore(store), { cluster: 'east', ...smallParameters });
  const many = Object.fromEntries(Array.from({ length: 3_000 }, (_, place) => [`f${place}`, file(place % 200, place)]));
  const path = await backedUp(repository, {
    large: file(3_000_000, 1),
    empty: file(0, 2),
    inline: file(100, 3),
    '\xff': file(20_000, 4),
    many: { type: 'directory', mode: 0o755, entries: many },
  });
  expect(readBy(new RepositoryReader(store), path)).toBe(3_004);
});

test('and those of an encrypted one, with any of its keys, before and after a new data key', async () => {
  const { repository } = await createRepository(new FileStore(store), {
    ...{ cluster: 'east', ...smallParameters, ...encrypted },
  });
  const keyFile = Buffer.alloc(40, 'random');
  await addSlot(repository, { kind: 'keyFile', bytes: keyFile }, { by: 'tester', label: 'spare' });
  const secrets: ReaderSecret[] = [{ passphrase: 'correct horse battery staple' }, { keyFile }];
  const path = await backedUp(repository, { large: file(300_000, 1), inline: file(100, 3) });
  for (const secret of secrets) expect(readBy(new RepositoryReader(store, secret), path)).toBe(2);
  await rotateDataKey(repository, { by: 'tester' });
  await backedUp(repository, { new: file(70_000, 9) });
  for (const secret of secrets) expect(readBy(new RepositoryReader(store, secret), path)).toBe(3);
  expect(() => new RepositoryReader(store, { passphrase: 'wrong' })).toThrow('no key slot opens');
});
