import { closeSync, mkdirSync, openSync, readSync, rmdirSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { randomPart } from './ids.ts';
import { release } from './memory.ts';
import type { Batches, RecordShape } from './recordMerge.ts';
import { BATCH_BYTES, checkWhole, iteratorOf, mergeSync } from './recordMerge.ts';
import { placesInOrder } from './recordOrder.ts';

export type { Batches } from './recordMerge.ts';
export { mergeRecords } from './recordMerge.ts';

const DEFAULT_MEMORY = 32 * 1024 * 1024;
/** Of the sort itself, bytes for each record. */
const SORT_BYTES = 16;
const RUN_BATCH_BYTES = BATCH_BYTES / 4;
/** Memory is taken as records come: most lists are short. */
const FIRST_BYTES = 64 * 1024;

export interface SorterOptions extends RecordShape {
  /** For runs that do not fit in memory; made when needed, removed by `close` if it was not there before. */
  directory: string;
  /** Bytes. */
  memoryBytes?: number;
}

/** A run on disk: an open file without a name, so that nothing is left behind however the process ends. */
interface Run {
  file: number;
  bytes: number;
}

/**
 * External merge sort in bounded memory: what fits is sorted in place and spilled as a run, and the runs are merged. Of
 * equal keys what was added first comes first. File calls are synchronous: it is meant for job threads.
 */
export class RecordSorter {
  readonly #shape: RecordShape;
  readonly #directory: string;
  readonly #mostBytes: number;
  #held: Buffer;
  #heldBytes = 0;
  readonly #runs: Run[] = [];
  #madeDirectory = false;

  constructor({ directory, memoryBytes = DEFAULT_MEMORY, ...shape }: SorterOptions) {
    this.#shape = shape;
    this.#directory = directory;
    const fit = Math.floor(memoryBytes / (shape.recordBytes + SORT_BYTES));
    this.#mostBytes = Math.max(1, fit) * shape.recordBytes;
    this.#held = Buffer.allocUnsafeSlow(Math.min(wholeRecords(FIRST_BYTES, shape.recordBytes), this.#mostBytes));
  }

  /** Copies the record. */
  add(record: Buffer): void {
    if (this.#heldBytes === this.#held.length) {
      if (this.#held.length < this.#mostBytes) this.#grow();
      else this.#spill();
    }
    record.copy(this.#held, this.#heldBytes, 0, this.#shape.recordBytes);
    this.#heldBytes += this.#shape.recordBytes;
  }

  /** All records in order, after the last `add`; may be asked for again. A batch is valid until the next one. */
  *sorted(): Generator<Buffer> {
    const held = this.#sortHeld();
    if (this.#runs.length === 0) yield* held;
    else yield* mergeSync([...this.#runs.map((run) => readRun(run, this.#shape.recordBytes)), held], this.#shape);
  }

  close(): void {
    for (const { file } of this.#runs.splice(0)) closeSync(file);
    release(this.#held);
    if (!this.#madeDirectory) return;
    this.#madeDirectory = false;
    try {
      rmdirSync(this.#directory);
    } catch {
      // Somebody else uses it, too.
    }
  }

  #grow(): void {
    const larger = Buffer.allocUnsafeSlow(Math.min(2 * this.#held.length, this.#mostBytes));
    this.#held.copy(larger);
    release(this.#held);
    this.#held = larger;
  }

  #spill(): void {
    if (mkdirSync(this.#directory, { recursive: true, mode: 0o700 }) !== undefined) this.#madeDirectory = true;
    const path = join(this.#directory, `run-${randomPart()}`);
    const run = { file: openSync(path, 'wx+', 0o600), bytes: 0 };
    this.#runs.push(run);
    unlinkSync(path);
    for (const batch of this.#sortHeld()) {
      writeFully(run.file, batch);
      run.bytes += batch.length;
    }
    this.#heldBytes = 0;
  }

  *#sortHeld(): Generator<Buffer> {
    const { recordBytes, keyBytes, unique } = this.#shape;
    const records = this.#held.subarray(0, this.#heldBytes);
    const places = placesInOrder(records, recordBytes, keyBytes);
    const batch = Buffer.allocUnsafeSlow(Math.min(wholeRecords(BATCH_BYTES, recordBytes), records.length));
    let length = 0;
    let last = -1;
    for (const place of places) {
      const at = place * recordBytes;
      if (unique && last >= 0 && records.compare(records, last, last + keyBytes, at, at + keyBytes) === 0) continue;
      last = at;
      if (length === batch.length) {
        yield batch;
        length = 0;
      }
      records.copy(batch, length, at, at + recordBytes);
      length += recordBytes;
    }
    if (length > 0) yield batch.subarray(0, length);
  }
}

const wholeRecords = (bytes: number, recordBytes: number): number =>
  Math.max(1, Math.floor(bytes / recordBytes)) * recordBytes;

function* readRun({ file, bytes }: Run, recordBytes: number): Generator<Buffer> {
  const batch = Buffer.allocUnsafeSlow(Math.min(wholeRecords(RUN_BATCH_BYTES, recordBytes), bytes));
  for (let at = 0; at < bytes; ) {
    const length = Math.min(batch.length, bytes - at);
    for (let done = 0; done < length; ) {
      const read = readSync(file, batch, done, length - done, at + done);
      if (read === 0) throw new Error('a temporary file of a sort was cut short');
      done += read;
    }
    at += length;
    yield batch.subarray(0, length);
  }
}

function writeFully(file: number, bytes: Buffer): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
}

/** Single records of batches. A record is valid until the next batch is needed: copy what is kept. */
export class RecordCursor {
  readonly #source: Iterator<Buffer> | AsyncIterator<Buffer>;
  readonly #recordBytes: number;
  #batch: Buffer | undefined = Buffer.alloc(0);
  #at = 0;

  constructor(source: Batches, recordBytes: number) {
    this.#source = iteratorOf(source);
    this.#recordBytes = recordBytes;
  }

  /** Undefined at the end. */
  async peek(): Promise<Buffer | undefined> {
    while (this.#batch !== undefined && this.#at === this.#batch.length) {
      const next = await this.#source.next();
      this.#batch = next.done ? undefined : next.value;
      this.#at = 0;
      if (this.#batch) checkWhole(this.#batch, this.#recordBytes);
    }
    return this.#batch?.subarray(this.#at, this.#at + this.#recordBytes);
  }

  async next(): Promise<Buffer | undefined> {
    const record = await this.peek();
    if (record !== undefined) this.#at += this.#recordBytes;
    return record;
  }

  /** Tells the source that nothing more is wanted, so that it lets go of what it holds. */
  async close(): Promise<void> {
    this.#batch = undefined;
    await this.#source.return?.();
  }
}
