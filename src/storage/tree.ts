import type { TreePage, TreeRef } from '../domain/documents.ts';
import { HomarusError, isLoss } from '../domain/errors.ts';
import { printPath } from '../domain/text.ts';
import { MAX_BLOCK_BYTES } from './block.ts';
import type { ChunkReader } from './chunkReader.ts';
import { HASH_BYTES } from './hash.ts';
import type { CallOptions } from './objectStore.ts';
import { decodeRows } from './rowReader.ts';
import type { Row } from './treeRow.ts';
import { CHUNK_BYTES, comparePaths } from './treeRow.ts';

export { chunkListsOf, decodeRows } from './rowReader.ts';
export { encodeRow } from './rowWriter.ts';
export { pageListContent, pageOf, TreePager } from './treePager.ts';
export type { Row, RowType } from './treeRow.ts';
export { CHUNK_BYTES, comparePaths } from './treeRow.ts';

/** Reading trees: docs/format.md, section 4. */

/** Pages that are fetched ahead of the one that is read. */
const PAGES_AHEAD = 4;

/** The pages of a tree, wherever their list stands. */
export async function pagesOf(chunks: ChunkReader, tree: TreeRef, options: CallOptions = {}): Promise<TreePage[]> {
  if ('pages' in tree) return checkPages(tree.pages, 'the list of pages in a manifest');
  const { chunk, length } = tree.pageList;
  const content = await chunks.read(chunk, length, options.signal);
  const name = `the list of pages in chunk ${chunk}`;
  let list: unknown;
  try {
    list = JSON.parse(content.toString('utf8'));
  } catch (cause) {
    throw new HomarusError('ObjectDamaged', `${name} is not JSON`, { cause });
  }
  return checkPages((list as { pages?: unknown } | null)?.pages, name);
}

function checkPages(pages: unknown, name: string): TreePage[] {
  const isPage = (page: Partial<TreePage> | null): boolean =>
    typeof page?.first === 'string' &&
    /^[0-9a-f]{64}$/.test(String(page.chunk)) &&
    Number.isInteger(page.length) &&
    (page.length as number) >= 0 &&
    (page.length as number) <= MAX_BLOCK_BYTES;
  if (Array.isArray(pages) && pages.every(isPage)) return pages;
  throw new HomarusError('ObjectDamaged', `${name} is damaged: it holds what is no page`);
}

export interface TreeRange extends CallOptions {
  /** Only rows whose path is not smaller. */
  from?: string;
  /** Only rows whose path is not greater, and what is below it. */
  to?: string;
}

/**
 * The rows of a tree in order, a file's runs joined again (4.5 MB for each TB of one file). Reads only the pages that the
 * range needs. `ObjectDamaged`, `ObjectMissing`, `UnsafePath`.
 */
export async function* readTree(chunks: ChunkReader, tree: TreeRef, range: TreeRange = {}): AsyncGenerator<Row> {
  let held: Row | undefined;
  let runs: Buffer[] = [];
  let name = '';
  const finish = (row: Row): Row => {
    if (runs.length > 1) row.chunks = Buffer.concat(runs);
    checkSize(row, name);
    return row;
  };
  for await (const page of readPages(chunks, tree, range)) {
    ({ name } = page);
    for (const row of decodeRows(page.content, name)) {
      if (row.run !== undefined) {
        // The range begins behind this file, in its last page.
        if (held === undefined && !inRange(row.path, range)) continue;
        if (row.path !== held?.path || row.run !== runs.length) throw damagedPage(name, 'a run of chunks is missing');
        if (row.chunks) runs.push(row.chunks);
        continue;
      }
      if (held && comparePaths(held.path, row.path) >= 0) throw damagedPage(name, 'it comes before the page before it');
      if (held && inRange(held.path, range)) yield finish(held);
      held = row;
      runs = row.chunks ? [row.chunks] : [];
    }
  }
  if (held && inRange(held.path, range)) yield finish(held);
}

/** A file is as long as what it is made of. */
function checkSize({ path, type, size, content, chunks }: Row, name: string): void {
  if (type !== 'file') return;
  let bytes = content?.length ?? 0;
  if (chunks) for (let at = HASH_BYTES; at < chunks.length; at += CHUNK_BYTES) bytes += chunks.readUInt32LE(at);
  if (bytes !== size) throw damagedPage(name, `${JSON.stringify(path)} has ${bytes} of ${size} bytes`);
}

const damagedPage = (name: string, what: string): HomarusError =>
  new HomarusError('ObjectDamaged', `${name} is damaged: ${what}`);

const isBelow = (path: string, directory: string): boolean =>
  directory === '' || (path.startsWith(directory) && path[directory.length] === '/');

const inRange = (path: string, { from, to }: TreeRange): boolean =>
  (from === undefined || comparePaths(path, from) >= 0) && !isPast(path, to);

/** True when neither the path nor what comes after it can be in the range that ends with `to`. */
const isPast = (path: string, to: string | undefined): boolean =>
  to !== undefined && comparePaths(path, to) > 0 && !isBelow(path, to);

async function* readPages(
  chunks: ChunkReader,
  tree: TreeRef,
  range: TreeRange,
): AsyncGenerator<{ name: string; content: Buffer }> {
  const needed = pagesInRange(await pagesOf(chunks, tree, range), range);
  const ahead: { name: string; content: Promise<Buffer> }[] = [];
  const fetch = ({ chunk, length, first }: TreePage): void => {
    const content = chunks.read(chunk, length, range.signal).catch((error: unknown) => {
      throw isLoss(error) ? lostPage(error, first) : error;
    });
    // Its failure is told when it is its turn.
    content.catch(() => undefined);
    ahead.push({ name: `tree page ${chunk}`, content });
  };
  try {
    for (const page of needed) {
      fetch(page);
      if (ahead.length <= PAGES_AHEAD) continue;
      const { name, content } = ahead.shift() as (typeof ahead)[number];
      yield { name, content: await content };
    }
    for (const { name, content } of ahead.splice(0)) yield { name, content: await content };
  } finally {
    await Promise.allSettled(ahead.map(({ content }) => content));
  }
}

function lostPage({ code, message }: HomarusError, first: string): HomarusError {
  const from = printPath(Buffer.from(first, 'base64').toString('utf8'));
  return new HomarusError(code, `${message}; a page of a tree stands there, from "${from}" on`);
}

function pagesInRange(pages: readonly TreePage[], { from, to }: TreeRange): readonly TreePage[] {
  const firstOf = (page: TreePage): string => Buffer.from(page.first, 'base64').toString('latin1');
  let start = 0;
  let end = pages.length;
  if (from !== undefined) {
    // A file whose runs fill several pages is the first of each: where it begins is the page before them.
    start = lowestPlace(pages.length, (place) => comparePaths(firstOf(pages[place] as TreePage), from) >= 0);
    start = Math.max(start - 1, 0);
  }
  if (to !== undefined) end = lowestPlace(pages.length, (place) => isPast(firstOf(pages[place] as TreePage), to));
  return pages.slice(start, end);
}

/** The lowest number below `count` for which `holds`, which holds for all after it; `count` when there is none. */
function lowestPlace(count: number, holds: (place: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
