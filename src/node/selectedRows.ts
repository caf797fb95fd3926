import type { TreeRef } from '../domain/documents.ts';
import type { ChunkReader } from '../storage/chunkReader.ts';
import type { CallOptions } from '../storage/objectStore.ts';
import type { Row } from '../storage/tree.ts';
import { comparePaths, readTree } from '../storage/tree.ts';
import type { BytePath } from './bytePath.ts';
import { isBelow, parentOf } from './bytePath.ts';

/**
 * The rows at and below `bases` in the order of the tree, and those of the directories that lead there; only the pages
 * that they need are read.
 */
export async function* selectedRows(
  chunks: ChunkReader,
  tree: TreeRef,
  bases: readonly BytePath[],
  options: CallOptions,
): AsyncGenerator<Row> {
  const tops = bases.filter((base) => !bases.some((other) => isBelow(base, other)));
  const wanted = new Map<BytePath, 'below' | 'alone'>(tops.map((base) => [base, 'below']));
  for (const base of tops) {
    for (let path = base; path !== ''; ) {
      path = parentOf(path);
      if (!wanted.has(path)) wanted.set(path, 'alone');
    }
  }
  for (const [path, how] of [...wanted].sort(([a], [b]) => comparePaths(a, b))) {
    if (how === 'alone') {
      const row = await rowAt(chunks, tree, path, options);
      if (row) yield row;
    } else {
      yield* readTree(chunks, tree, path === '' ? options : { ...options, from: path, to: path });
    }
  }
}

/** The row with this very path. */
export async function rowAt(
  chunks: ChunkReader,
  tree: TreeRef,
  path: BytePath,
  options: CallOptions,
): Promise<Row | undefined> {
  for await (const row of readTree(chunks, tree, { ...options, from: path, to: path })) {
    return row.path === path ? row : undefined;
  }
  return undefined;
}
