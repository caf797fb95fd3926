import type { BackupEntry, ManifestNode, TreeRef } from '../domain/documents.ts';
import { HomarusError } from '../domain/errors.ts';
import { readManifest } from '../storage/backups.ts';
import { ChunkReader } from '../storage/chunkReader.ts';
import { openReadable } from '../storage/openIndexes.ts';
import type { Row } from '../storage/tree.ts';
import { comparePaths, readTree } from '../storage/tree.ts';
import type { Reading } from './reading.ts';

/** What is different between two backups, path by path. */
export interface Difference {
  node: string;
  /** Name of the data root. */
  root: string;
  change: 'added' | 'removed' | 'content' | 'attributes';
  /** Of the later backup, or of the former where it was removed. */
  row: Row;
  /** Of the former backup, where both have it. */
  former?: Row;
}

/** A merge of the sorted trees: memory does not grow with them. Equal trees are not read at all. */
export async function* differences(
  { repository, at }: Reading,
  from: BackupEntry,
  to: BackupEntry,
  nodes: readonly string[] | undefined,
): AsyncGenerator<Difference> {
  const [before, after] = [await readManifest(repository, from), await readManifest(repository, to)];
  const ids = [...new Set([...before.nodes, ...after.nodes].map(({ id }) => id))];
  const unknown = (nodes ?? []).filter((id) => !ids.includes(id));
  if (unknown.length > 0) {
    throw new HomarusError('BadInput', `neither backup has node ${unknown.join(', ')}; they have ${ids.join(', ')}`);
  }
  const chunks = new ChunkReader(repository, await openReadable(repository, at.root));
  for (const node of ids.filter((id) => nodes === undefined || nodes.includes(id))) {
    const [was, is] = [rootsOf(before.nodes, node), rootsOf(after.nodes, node)];
    for (const root of new Set([...was.keys(), ...is.keys()])) {
      const [old, now] = [was.get(root), is.get(root)];
      if (JSON.stringify(old) === JSON.stringify(now)) continue;
      for await (const one of compared(rowsOf(chunks, old), rowsOf(chunks, now))) yield { node, root, ...one };
    }
  }
}

const rootsOf = (nodes: readonly ManifestNode[], node: string): Map<string, TreeRef> =>
  new Map(nodes.find(({ id }) => id === node)?.roots.map(({ name, tree }) => [name, tree]));

async function* rowsOf(chunks: ChunkReader, tree: TreeRef | undefined): AsyncGenerator<Row> {
  if (tree !== undefined) yield* readTree(chunks, tree, {});
}

async function* compared(
  old: AsyncGenerator<Row>,
  now: AsyncGenerator<Row>,
): AsyncGenerator<Omit<Difference, 'node' | 'root'>> {
  const next = async (rows: AsyncGenerator<Row>): Promise<Row | undefined> => {
    const { done, value } = await rows.next();
    return done ? undefined : value;
  };
  let [was, is] = [await next(old), await next(now)];
  while (was !== undefined || is !== undefined) {
    const order = was === undefined ? 1 : is === undefined ? -1 : comparePaths(was.path, is.path);
    if (order < 0 && was !== undefined) {
      yield { change: 'removed', row: was };
      was = await next(old);
    } else if (order > 0 && is !== undefined) {
      yield { change: 'added', row: is };
      is = await next(now);
    } else if (was !== undefined && is !== undefined) {
      const change = changeOf(was, is);
      if (change !== undefined) yield { change, row: is, former: was };
      [was, is] = [await next(old), await next(now)];
    }
  }
}

function changeOf(was: Row, is: Row): 'content' | 'attributes' | undefined {
  const sameChunks = Buffer.compare(was.chunks ?? Buffer.alloc(0), is.chunks ?? Buffer.alloc(0)) === 0;
  const sameContent = Buffer.compare(was.content ?? Buffer.alloc(0), is.content ?? Buffer.alloc(0)) === 0;
  if (was.type !== is.type || was.size !== is.size || was.target !== is.target || !sameChunks || !sameContent)
    return 'content';
  // The time of a directory changes with what is in it.
  const sameTime = is.type === 'directory' || was.mtime === is.mtime;
  return sameTime && was.mode === is.mode && was.uid === is.uid && was.gid === is.gid ? undefined : 'attributes';
}
