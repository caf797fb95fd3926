import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createRepository } from '../../src/storage/create.ts';
import { FileStore } from '../../src/storage/fileStore.ts';
import { backUp, givenNode } from '../support/backUp.ts';
import { givenContext } from '../support/jobs.ts';
import { smallParameters } from '../support/storeTree.ts';
import { makeTree } from '../support/trees.ts';
import { RepositoryReader } from './reader.ts';

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'homarus-format-'));
});
afterEach(() => rmSync(base, { recursive: true }));

test('a stranger who knows docs/format.md alone restores the files of a backup', async () => {
  const jobs = givenContext();
  const store = join(base, 'store');
  await FileStore.make(store);
  const { repository } = await createRepository(new FileStore(store), { cluster: 'east', ...smallParameters });
  const node = givenNode(base);
  const { path } = node.roots[0]!;
  const file = (size: number, seed: number) => ({ type: 'file' as const, size, seed, mode: 0o600 });
  const many = Object.fromEntries(Array.from({ length: 3_000 }, (_, place) => [`f${place}`, file(place % 200, place)]));
  makeTree(path, {
    large: file(3_000_000, 1),
    empty: file(0, 2),
    inline: file(100, 3),
    '\xff': file(20_000, 4),
    many: { type: 'directory', mode: 0o755, entries: many },
  });
  await backUp(repository, jobs.context, { nodes: [node] });
  await jobs.close();

  const reader = new RepositoryReader(store);
  const root = reader.root();
  const manifest = reader.manifest(root.backups[0]);
  reader.readIndexes(root);
  const files = reader.files(manifest.nodes[0].roots[0].tree);
  expect(files.size).toBe(3_004);
  expect(files.size).toBe(manifest.totals.files);
  for (const [name, content] of files) {
    expect(readFileSync(Buffer.from(`${path}/${name}`, 'latin1')).equals(content)).toBe(true);
  }
});
