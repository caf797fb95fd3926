import { setImmediate as letMessagesIn } from 'node:timers/promises';
import type { Cuts } from '../storage/chunker.ts';
import { cutLengths } from '../storage/chunker.ts';
import { HASH_BYTES } from '../storage/hash.ts';
import type { Sealing } from '../storage/sealing.ts';
import { CHUNK_BYTES } from '../storage/tree.ts';
import type { HashArgs, HashRange, HashResult, RecordedFile, Unread } from './hashTask.ts';
import type { WorkPool } from './pool.ts';

/**
 * Files are hashed by the pool, many at once, and come out in the order in which they went in. What waits is bounded, so that
 * memory does not grow with the number of files or with their size.
 */

/** A hash task has so many bytes or files, whatever comes first. */
const BATCH_BYTES = 16 * 1024 * 1024;
const BATCH_FILES = 256;
/** Tasks under way for each thread: one that runs, one that waits at it, one that is ready. */
const BATCHES_PER_THREAD = 3;
/** What waits behind a file that is being hashed. */
const MOST_WAITING = 10_000;
const MOST_WAITING_BYTES = 32 * 1024 * 1024;

interface Batch {
  ranges: HashRange[];
  bytes: number;
  chunks: number;
  result?: Promise<HashResult>;
}

interface Piece {
  batch: Batch;
  range: number;
  /** Place of its first hash in the batch's. */
  first: number;
  lengths: readonly number[];
}

interface Waiting<T> {
  item: T;
  bytes: number;
  pieces: Piece[];
}

/** `chunks` (36 bytes each), or why there are none; neither for an item without a file. */
export type Hashed = { chunks: Buffer } | { unread: Unread } | undefined;

export interface WindowOptions<T> {
  pool: WorkPool;
  sealing: Sealing;
  cuts: Cuts;
  /** Called for each item, in order. */
  settle(item: T, hashed: Hashed): void;
}

export class HashWindow<T> {
  readonly #options: WindowOptions<T>;
  #waiting: Waiting<T>[] = [];
  #head = 0;
  #waitingBytes = 0;
  #open: Batch | undefined;
  readonly #underWay: Promise<unknown>[] = [];

  constructor(options: WindowOptions<T>) {
    this.#options = options;
  }

  /** An item that is ready, holding so many bytes of memory. Answers a promise when the caller must wait. */
  add(item: T, bytes = 0): Promise<void> | undefined {
    if (this.#head === this.#waiting.length) {
      this.#options.settle(item, undefined);
      return undefined;
    }
    this.#push({ item, bytes, pieces: [] });
    return this.#isFull ? this.#settleUntil(() => !this.#isFull) : undefined;
  }

  /** An item whose file must be hashed first. */
  async hash(item: T, file: RecordedFile): Promise<void> {
    const entry: Waiting<T> = { item, bytes: 0, pieces: [] };
    this.#push(entry);
    let offset = 0;
    let lengths: number[] = [];
    let bytes = 0;
    for (const length of cutLengths(file.size, this.#options.cuts)) {
      lengths.push(length);
      bytes += length;
      if (bytes < BATCH_BYTES) continue;
      await this.#range(entry, { ...file, offset, lengths }, bytes);
      offset += bytes;
      lengths = [];
      bytes = 0;
    }
    if (lengths.length > 0) await this.#range(entry, { ...file, offset, lengths }, bytes);
    if (this.#isFull) await this.#settleUntil(() => !this.#isFull);
  }

  /** Settles all that is left. */
  end(): Promise<void> {
    return this.#settleUntil(() => this.#head === this.#waiting.length);
  }

  get #isFull(): boolean {
    return this.#waiting.length - this.#head > MOST_WAITING || this.#waitingBytes > MOST_WAITING_BYTES;
  }

  #push(entry: Waiting<T>): void {
    this.#waiting.push(entry);
    this.#waitingBytes += entry.bytes;
  }

  async #range(entry: Waiting<T>, range: HashRange, bytes: number): Promise<void> {
    this.#open ??= { ranges: [], bytes: 0, chunks: 0 };
    const batch = this.#open;
    entry.pieces.push({ batch, range: batch.ranges.length, first: batch.chunks, lengths: range.lengths });
    entry.bytes += range.lengths.length * CHUNK_BYTES;
    this.#waitingBytes += range.lengths.length * CHUNK_BYTES;
    batch.ranges.push(range);
    batch.bytes += bytes;
    batch.chunks += range.lengths.length;
    if (batch.bytes >= BATCH_BYTES || batch.ranges.length >= BATCH_FILES) {
      this.#send(batch);
      // Whoever links files never waits, and answers come as messages.
      await letMessagesIn();
      const most = BATCHES_PER_THREAD * this.#options.pool.threads;
      if (this.#underWay.length >= most) await this.#underWay.shift();
    }
  }

  #send(batch: Batch): void {
    this.#open = undefined;
    const args: HashArgs = { sealing: this.#options.sealing, ranges: batch.ranges };
    batch.result = this.#options.pool.run<HashResult>('hashRanges', args, { ahead: true });
    // Its failure is told when its first item is settled.
    this.#underWay.push(batch.result.catch(() => undefined));
  }

  async #settleUntil(enough: () => boolean): Promise<void> {
    while (!enough()) {
      const entry = this.#waiting[this.#head] as Waiting<T>;
      for (const { batch } of entry.pieces) {
        if (!batch.result) this.#send(batch);
        await batch.result;
      }
      const hashed = entry.pieces.length === 0 ? undefined : await assemble(entry.pieces);
      this.#waitingBytes -= entry.bytes;
      this.#head++;
      if (this.#head > MOST_WAITING) {
        this.#waiting = this.#waiting.slice(this.#head);
        this.#head = 0;
      }
      this.#options.settle(entry.item, hashed);
    }
  }
}

async function assemble(pieces: readonly Piece[]): Promise<Hashed> {
  const parts: Buffer[] = [];
  for (const { batch, range, first, lengths } of pieces) {
    const { hashes, failed } = (await batch.result) as HashResult;
    const failure = failed.find((other) => other.range === range);
    if (failure) return { unread: failure.unread };
    const chunks = Buffer.allocUnsafe(lengths.length * CHUNK_BYTES);
    for (const [place, length] of lengths.entries()) {
      const from = (first + place) * HASH_BYTES;
      chunks.set(hashes.subarray(from, from + HASH_BYTES), place * CHUNK_BYTES);
      chunks.writeUInt32LE(length, place * CHUNK_BYTES + HASH_BYTES);
    }
    parts.push(chunks);
  }
  return { chunks: parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts) };
}
