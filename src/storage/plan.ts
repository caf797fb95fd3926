import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { ChunkIndex } from './chunkIndex.ts';
import { joinIndexes } from './chunkIndex.ts';
import { HASH_BYTES } from './hash.ts';
import { release } from './memory.ts';
import type { Batches } from './records.ts';
import { RecordCursor, RecordSorter } from './records.ts';

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
  spool.close();
  return {
    ...totals,
    adopted,
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
  const cursors = holders.map((holder) => new RecordCursor(holder.chunks, CHUNK_RECORD_BYTES));
  let batch: Buffer[] = [];
  for (;;) {
    const heads = await Promise.all(cursors.map((cursor) => cursor.peek()));
    let least: Buffer | undefined;
    for (const head of heads) {
      if (head && (least === undefined || head.compare(least, 0, HASH_BYTES, 0, HASH_BYTES) < 0)) least = head;
    }
    if (least === undefined) break;
    const merged = Buffer.alloc(recordBytes);
    least.copy(merged, 0, 0, CHUNK_RECORD_BYTES);
    for (const [place, head] of heads.entries()) {
      if (head?.compare(merged, 0, HASH_BYTES, 0, HASH_BYTES) !== 0) continue;
      merged[CHUNK_RECORD_BYTES + (place >> 3)]! |= 1 << (place & 7);
      await cursors[place]?.next();
    }
    batch.push(merged);
    if (batch.length * recordBytes >= BATCH_BYTES) {
      yield Buffer.concat(batch);
      batch = [];
    }
  }
  if (batch.length > 0) yield Buffer.concat(batch);
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
