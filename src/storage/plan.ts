import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { ChunkIndex } from './chunkIndex.ts';
import { joinIndexes } from './chunkIndex.ts';
import { HASH_BYTES } from './hash.ts';
import { release } from './memory.ts';
import { checkWhole } from './recordMerge.ts';
import type { Batches } from './records.ts';
import { mergeRecords, RecordSorter } from './records.ts';

/** A staged chunk: hash, then its length (u32, little-endian). */
export const CHUNK_RECORD_BYTES = 36;
const BATCH_BYTES = 1024 * 1024;

/** What a node has: sorted, unique records of 36 bytes. */
export interface Holder {
  readonly node: string;
  readonly chunks: Batches;
}

export interface UploadPlan {
  /** Each node's share, sorted by hash; only nodes that have one. To be read once. */
  shares: { node: string; records: Iterable<Buffer>; chunks: number; bytes: number }[];
  chunks: number;
  bytes: number;
  /** Chunks that are stored, in packs for which `isAdopted` is true. */
  adopted: number;
  /** When the shares are read: they stand in open files. */
  close(): void;
}

export interface PlanOptions {
  /** For temporary files; removed by the caller. */
  directory: string;
  isAdopted?: (index: ChunkIndex) => boolean;
}

/**
 * Who uploads what: every chunk that no index names in a whole pack once, rarest first, to the least loaded node that has it. A merge of
 * sorted streams and a spool on disk: memory does not grow with the number of chunks.
 */
export async function planUploads(
  holders: readonly Holder[],
  indexes: readonly ChunkIndex[],
  options: PlanOptions,
): Promise<UploadPlan> {
  const recordBytes = CHUNK_RECORD_BYTES + Math.ceil(holders.length / 8);
  const spool = new Spool(join(options.directory, 'absent'), recordBytes);
  try {
    return await planFrom(spool, holders, recordBytes, indexes, options);
  } finally {
    spool.close();
  }
}

async function planFrom(
  spool: Spool,
  holders: readonly Holder[],
  recordBytes: number,
  indexes: readonly ChunkIndex[],
  options: PlanOptions,
): Promise<UploadPlan> {
  const sharing = new Set<number>();
  let adopted = 0;
  for await (const { record, location, index } of joinIndexes(
    mergeHolders(holders, recordBytes),
    recordBytes,
    indexes,
  )) {
    if (location === undefined || location.damaged) {
      sharing.add(holdersOf(record, holders.length).length);
      spool.add(record);
    } else if (index !== undefined && options.isAdopted?.(index)) {
      adopted++;
    }
  }
  const load = holders.map(() => 0);
  const counts = holders.map(() => 0);
  const totals = { chunks: 0, bytes: 0 };
  const shares = holders.map(
    (_, place) =>
      new RecordSorter({
        directory: join(options.directory, `share-${place}`),
        recordBytes: CHUNK_RECORD_BYTES,
        keyBytes: HASH_BYTES,
        memoryBytes: 16 * BATCH_BYTES,
      }),
  );
  for (const sharedBy of [...sharing].sort((a, b) => a - b)) {
    for (const record of spool.records()) {
      const having = holdersOf(record, holders.length);
      if (having.length !== sharedBy) continue;
      const place = having.reduce((least, next) => ((load[next] as number) < (load[least] as number) ? next : least));
      const bytes = record.readUInt32LE(HASH_BYTES);
      load[place] = (load[place] as number) + bytes;
      counts[place] = (counts[place] as number) + 1;
      totals.chunks++;
      totals.bytes += bytes;
      (shares[place] as RecordSorter).add(record.subarray(0, CHUNK_RECORD_BYTES));
    }
  }
  return {
    ...totals,
    adopted,
    close: () => {
      for (const share of shares) share.close();
    },
    shares: holders.flatMap(({ node }, place) =>
      (load[place] as number) > 0
        ? [
            {
              node,
              records: (shares[place] as RecordSorter).sorted(),
              chunks: counts[place] as number,
              bytes: load[place] as number,
            },
          ]
        : [],
    ),
  };
}

/** One record for each chunk that somebody has, with a bit for each holder behind it. */
async function* mergeHolders(holders: readonly Holder[], recordBytes: number): AsyncGenerator<Buffer> {
  const marked = holders.map(({ chunks }, place) => markedBy(place, chunks, recordBytes));
  const most = Math.floor(BATCH_BYTES / recordBytes) * recordBytes;
  let merged = Buffer.allocUnsafeSlow(most);
  let end = 0;
  for await (const batch of mergeRecords(marked, recordBytes, HASH_BYTES)) {
    for (let at = 0; at < batch.length; at += recordBytes) {
      const last = end - recordBytes;
      if (end > 0 && merged.compare(batch, at, at + HASH_BYTES, last, last + HASH_BYTES) === 0) {
        for (let byte = CHUNK_RECORD_BYTES; byte < recordBytes; byte++)
          merged[last + byte]! |= batch[at + byte] as number;
        continue;
      }
      if (end === most) {
        yield merged;
        merged = Buffer.allocUnsafeSlow(most);
        end = 0;
      }
      end += batch.copy(merged, end, at, at + recordBytes);
    }
  }
  if (end > 0) yield merged.subarray(0, end);
}

async function* markedBy(place: number, chunks: Batches, recordBytes: number): AsyncGenerator<Buffer> {
  for await (const batch of chunks) {
    checkWhole(batch, CHUNK_RECORD_BYTES);
    const marked = Buffer.alloc((batch.length / CHUNK_RECORD_BYTES) * recordBytes);
    for (let from = 0, to = 0; from < batch.length; from += CHUNK_RECORD_BYTES, to += recordBytes) {
      batch.copy(marked, to, from, from + CHUNK_RECORD_BYTES);
      marked[to + CHUNK_RECORD_BYTES + (place >> 3)] = 1 << (place & 7);
    }
    yield marked;
  }
}

function holdersOf(record: Buffer, count: number): number[] {
  const places: number[] = [];
  for (let place = 0; place < count; place++) {
    if ((record[CHUNK_RECORD_BYTES + (place >> 3)] as number) & (1 << (place & 7))) places.push(place);
  }
  return places;
}

/** Records written once and read several times, on disk. */
class Spool {
  readonly #file: number;
  readonly #recordBytes: number;
  readonly #buffer: Buffer;
  #buffered = 0;
  #written = 0;

  constructor(path: string, recordBytes: number) {
    this.#file = openSync(path, 'w+', 0o600);
    this.#recordBytes = recordBytes;
    this.#buffer = Buffer.allocUnsafeSlow(Math.floor(BATCH_BYTES / recordBytes) * recordBytes);
  }

  add(record: Buffer): void {
    record.copy(this.#buffer, this.#buffered);
    this.#buffered += this.#recordBytes;
    if (this.#buffered === this.#buffer.length) this.#flush();
  }

  *records(): Generator<Buffer> {
    this.#flush();
    const batch = Buffer.allocUnsafe(Math.min(this.#buffer.length, this.#written));
    for (let at = 0; at < this.#written; ) {
      const read = readSync(this.#file, batch, 0, Math.min(batch.length, this.#written - at), at);
      for (let place = 0; place + this.#recordBytes <= read; place += this.#recordBytes) {
        yield batch.subarray(place, place + this.#recordBytes);
      }
      at += read;
    }
  }

  close(): void {
    closeSync(this.#file);
    release(this.#buffer);
  }

  #flush(): void {
    for (let done = 0; done < this.#buffered; ) {
      done += writeSync(this.#file, this.#buffer, done, this.#buffered - done, this.#written + done);
    }
    this.#written += this.#buffered;
    this.#buffered = 0;
  }
}
