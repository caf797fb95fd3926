import { join } from 'node:path';
import type { BackupEntry, ChunkAt, Manifest, RootDocument } from '../domain/documents.ts';
import type { HomarusError } from '../domain/errors.ts';
import { readManifest } from './backups.ts';
import { ENTRY_BYTES, notNamed } from './chunkIndex.ts';
import { ChunkReader } from './chunkReader.ts';
import { type ChunkSet, ChunkSetBuilder } from './chunkSet.ts';
import { readRange } from './footer.ts';
import { HASH_BYTES } from './hash.ts';
import type { IndexUnion } from './indexUnion.ts';
import { openUnion } from './indexUnion.ts';
import { inOrder } from './inOrder.ts';
import type { CallOptions } from './objectStore.ts';
import { packPlace, readEntry } from './pack.ts';
import { cutRanges, encodePlace, PLACE_BYTES, PLACE_KEY_BYTES } from './packRanges.ts';
import type { PackWork } from './packWork.ts';
import { inThisThread } from './packWork.ts';
import { CHUNK_RECORD_BYTES } from './plan.ts';
import { RecordCursor, RecordSorter } from './records.ts';
import type { Repository } from './repository.ts';
import { pagesOf } from './tree.ts';

/** Which chunks the backups that stay need: the marking that a cleanup begins with. */

export interface ChunkUse {
  union: IndexUnion;
  /** By the number of its entry in the union. */
  isUsed(chunk: number): boolean;
  /** Chunks that are used, and references to chunks that no index names: those backups are damaged already. */
  chunks: number;
  missing: number;
}

export interface MarkOptions extends CallOptions {
  /** For temporary files; they are removed. */
  directory: string;
  work?: PackWork;
  /** Bytes of tree pages that were read, and how many there are. */
  onProgress?: (done: number, total: number) => void;
  /** So many chunks are marked at once, in 9 bytes of memory each; if there are more, all pages are read again. */
  atOnce?: number;
}

const AT_ONCE = 16 * 1024 * 1024;
const MANIFESTS_AT_ONCE = 8;
const RANGES_AT_ONCE = 4;
const SORT_BYTES = 16 * 1024 * 1024;

/**
 * Reads the manifests that stay and each of their tree pages once, in the order in which they stand in packs, and marks
 * the chunks that they name. A page that cannot be read ends it: what it names is not known. Of a chunk that stands in
 * several packs one copy counts, so two packs that hold each other's are not both dropped; it is not in a damaged pack if
 * there is another.
 */
export async function markChunks(
  repository: Repository,
  root: RootDocument,
  staying: readonly BackupEntry[],
  options: MarkOptions,
): Promise<ChunkUse> {
  const { atOnce = AT_ONCE } = options;
  const union = await openUnion(repository, root, options);
  const named = sorterOf(options, 'named', CHUNK_RECORD_BYTES, HASH_BYTES);
  const pages = sorterOf(options, 'pages', CHUNK_RECORD_BYTES, HASH_BYTES);
  const places = sorterOf(options, 'places', PLACE_BYTES, PLACE_KEY_BYTES);
  try {
    const reader = new ChunkReader(repository, union.indexes);
    const manifests = inOrder(MANIFESTS_AT_ONCE, staying, (entry) => readManifest(repository, entry, options));
    for await (const manifest of manifests) {
      for await (const chunk of directChunks(reader, manifest, options)) {
        const record = recordOf(chunk);
        if (chunk.page) pages.add(record);
        named.add(record);
      }
    }
    const use = { chunks: 0, missing: 0 };
    const sets: ChunkSet[] = [];
    for (let first = 0; first === 0 || first < union.mostEntries; first += atOnce) {
      const set = await setOf(union, first, atOnce, first === 0 ? { pages, places } : undefined, options);
      const marked = await markAll(repository, union, set, { named, places, first: first === 0 }, options);
      use.missing += marked;
      use.chunks += set.usedCount;
      sets.push(set.withoutPrefixes());
    }
    return { union, isUsed: (chunk) => sets[Math.floor(chunk / atOnce)]?.has(chunk) ?? false, ...use };
  } finally {
    for (const sorter of [named, pages, places]) sorter.close();
  }
}

/** The chunks of the union from number `first` on; with `find` also the places of all pages. */
async function setOf(
  union: IndexUnion,
  first: number,
  atOnce: number,
  find: { pages: RecordSorter; places: RecordSorter } | undefined,
  options: CallOptions,
): Promise<ChunkSet> {
  const builder = new ChunkSetBuilder(Math.min(atOnce, union.mostEntries - first), first);
  const cursor = new RecordCursor(find ? find.pages.sorted() : [], CHUNK_RECORD_BYTES);
  let page = await cursor.peek();
  let number = 0;
  for await (const batch of union.entries()) {
    options.signal?.throwIfAborted();
    for (let at = 0; at < batch.length; at += ENTRY_BYTES, number++) {
      if (number >= first && number < first + atOnce) builder.add(batch, at);
      if (page === undefined) continue;
      const order = page.compare(batch, at, at + HASH_BYTES, 0, HASH_BYTES);
      if (order > 0) continue;
      if (order < 0) throw lostPage(union, page);
      const { pack, ...place } = readEntry(batch, at);
      find?.places.add(encodePlace(pack, { ...place, hash: page }));
      await cursor.next();
      page = await cursor.peek();
    }
  }
  if (page !== undefined) throw lostPage(union, page);
  return builder.finish();
}

/** How many references are to chunks that are not in the set. */
async function markAll(
  repository: Repository,
  union: IndexUnion,
  set: ChunkSet,
  { named, places, first }: { named: RecordSorter; places: RecordSorter; first: boolean },
  options: MarkOptions,
): Promise<number> {
  let missing = 0;
  const count = (all: number, known: number): void => {
    missing += (first ? all : 0) - known;
  };
  for (const batch of named.sorted()) {
    for (let at = 0; at < batch.length; at += CHUNK_RECORD_BYTES) count(1, set.mark(batch, at) ? 1 : 0);
  }
  const { work = inThisThread, onProgress } = options;
  let total = 0;
  for (const { length } of cutRanges(places.sorted(), union.packs)) total += length;
  let done = 0;
  const ranges = inOrder(RANGES_AT_ONCE, cutRanges(places.sorted(), union.packs), async (range) => {
    const { pack, start, length, records } = range;
    const stored = await readRange(repository, packPlace(pack.id), start, length, options);
    const { sealing } = repository;
    const marked = await work.markPages({ sealing, pack, stored, start, places: records, set: set.memory });
    return { ...marked, length };
  });
  for await (const { named: all, known, length } of ranges) {
    options.signal?.throwIfAborted();
    count(all, known);
    done += length;
    onProgress?.(done, total);
  }
  return missing;
}

/** What a manifest names itself: streams, the pages of its trees, and the lists of pages that stand in chunks. */
async function* directChunks(
  reader: ChunkReader,
  manifest: Manifest,
  options: CallOptions,
): AsyncGenerator<ChunkAt & { page?: boolean }> {
  for (const { chunks } of manifest.streams) yield* chunks;
  for (const { tree } of manifest.nodes.flatMap(({ roots }) => roots)) {
    if ('pageList' in tree) yield tree.pageList;
    for (const { chunk, length } of await pagesOf(reader, tree, options)) yield { chunk, length, page: true };
  }
}

function recordOf({ chunk, length }: ChunkAt): Buffer {
  const record = Buffer.alloc(CHUNK_RECORD_BYTES);
  record.write(chunk, 'hex');
  record.writeUInt32LE(length, HASH_BYTES);
  return record;
}

const lostPage = ({ indexes, description }: IndexUnion, page: Buffer): HomarusError =>
  notNamed(indexes, `tree page ${page.toString('hex', 0, HASH_BYTES)}: what it needs is not known`, description);

const sorterOf = (options: MarkOptions, name: string, recordBytes: number, keyBytes: number): RecordSorter =>
  new RecordSorter({
    directory: join(options.directory, name),
    ...{ recordBytes, keyBytes, memoryBytes: SORT_BYTES, unique: true },
  });
