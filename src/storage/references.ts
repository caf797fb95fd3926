import { join } from 'node:path';
import type { BackupEntry, ChunkAt, Manifest } from '../domain/documents.ts';
import { readManifest } from './backups.ts';
import type { ChunkIndex } from './chunkIndex.ts';
import { joinIndexes } from './chunkIndex.ts';
import { ChunkReader } from './chunkReader.ts';
import { HASH_BYTES } from './hash.ts';
import type { CallOptions } from './objectStore.ts';
import { openIndexes } from './openIndexes.ts';
import { CHUNK_RECORD_BYTES } from './plan.ts';
import { RecordSorter } from './records.ts';
import type { Repository } from './repository.ts';
import type { RootAt } from './roots.ts';
import { decodeRows, pagesOf } from './tree.ts';

/** Which packs the backups that stay need: the marking that every cleanup begins with. */

export interface PackUse {
  /** Ids of the packs that the root's indexes name and no staying backup needs. */
  unused: Set<string>;
  /** Chunks that staying backups need, and how many of them no index names: those backups are damaged already. */
  chunks: number;
  missing: number;
}

export interface MarkOptions extends CallOptions {
  /** For temporary files; they are removed. */
  directory: string;
}

const PAGES_AT_ONCE = 8;
const SORT_BYTES = 16 * 1024 * 1024;

/**
 * Reads the manifests that stay, each of their tree pages once, and joins the chunks that they name with the indexes.
 * Memory grows with the number of packs, not of chunks. A page that cannot be read ends it: what it names is not known.
 */
export async function markPacks(
  repository: Repository,
  { root }: RootAt,
  staying: readonly BackupEntry[],
  options: MarkOptions,
): Promise<PackUse> {
  const indexes = await openIndexes(repository, root, options);
  const reader = new ChunkReader(repository, indexes);
  const pages = sorterOf(options, 'pages', CHUNK_RECORD_BYTES);
  const needed = sorterOf(options, 'needed', HASH_BYTES);
  try {
    for (const entry of staying) {
      for await (const chunk of directChunks(reader, await readManifest(repository, entry, options), options)) {
        if (chunk.page) pages.add(recordOf(chunk));
        needed.add(Buffer.from(chunk.chunk, 'hex'));
      }
    }
    for await (const page of readPages(reader, pages.sorted(), options)) {
      for (const { chunks } of decodeRows(page)) {
        if (!chunks) continue;
        for (let at = 0; at < chunks.length; at += CHUNK_RECORD_BYTES) needed.add(chunks.subarray(at, at + HASH_BYTES));
      }
    }
    return await joinPacks(needed.sorted(), indexes, options);
  } finally {
    pages.close();
    needed.close();
  }
}

async function joinPacks(needed: Iterable<Buffer>, indexes: ChunkIndex[], options: CallOptions): Promise<PackUse> {
  const use: PackUse = { unused: new Set(), chunks: 0, missing: 0 };
  for (const { packs } of indexes) for (const { id } of packs) use.unused.add(id);
  for await (const { record, location } of joinIndexes(needed, HASH_BYTES, indexes, options)) {
    use.chunks++;
    // One pack counts where several hold the chunk, so two that hold each other's copies are not both dropped.
    if (location) use.unused.delete(location.pack.id);
    else use.missing++;
    if (!location?.damaged) continue;
    // What is left of a damaged pack stays, and so does every copy.
    for (const index of indexes) {
      const copy = await index.find(record, options);
      if (copy) use.unused.delete(copy.pack.id);
    }
  }
  return use;
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

/** A few pages are under way at once; each is handed on as soon as it is its turn. */
async function* readPages(
  reader: ChunkReader,
  records: Iterable<Buffer>,
  options: CallOptions,
): AsyncGenerator<Buffer> {
  const reading: Promise<Buffer>[] = [];
  try {
    for (const batch of records) {
      for (let at = 0; at < batch.length; at += CHUNK_RECORD_BYTES) {
        const hash = Buffer.from(batch.subarray(at, at + HASH_BYTES));
        const page = reader.read(hash, batch.readUInt32LE(at + HASH_BYTES), options.signal);
        // Its failure is told when it is its turn.
        page.catch(() => undefined);
        reading.push(page);
        if (reading.length === PAGES_AT_ONCE) yield await (reading.shift() as Promise<Buffer>);
      }
    }
    while (reading.length > 0) yield await (reading.shift() as Promise<Buffer>);
  } finally {
    await Promise.allSettled(reading);
  }
}

function recordOf({ chunk, length }: ChunkAt): Buffer {
  const record = Buffer.alloc(CHUNK_RECORD_BYTES);
  record.write(chunk, 'hex');
  record.writeUInt32LE(length, HASH_BYTES);
  return record;
}

const sorterOf = (options: MarkOptions, name: string, recordBytes: number): RecordSorter =>
  new RecordSorter({
    directory: join(options.directory, name),
    recordBytes,
    keyBytes: HASH_BYTES,
    memoryBytes: SORT_BYTES,
    unique: true,
  });
