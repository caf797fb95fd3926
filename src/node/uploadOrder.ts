import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { HomarusError } from '../domain/errors.ts';
import { ENTRY_BYTES } from '../storage/chunkIndex.ts';
import { HASH_BYTES } from '../storage/hash.ts';
import { CHUNK_RECORD_BYTES } from '../storage/plan.ts';
import type { Batches } from '../storage/records.ts';
import { RecordSorter } from '../storage/records.ts';
import { encodeToPack, lengthOf, sourceOf, TO_PACK_BYTES, TO_PACK_KEY_BYTES } from './packTask.ts';
import type { StoredPack } from './uploadJournal.ts';
import { rmSync } from './writing.ts';

/** Where the snapshot found each chunk: hash:32 length:u32 source:u32 offset:u64 (little-endian), sorted, each hash once. */
const LOCATION_BYTES = 48;
const BATCH_BYTES = 1024 * 1024;
/** Chunks that there is room for at first. */
const FIRST_SHARE = 1024;

export interface Order {
  /** In the order in which they stand on the disk. */
  chunks: RecordSorter;
  bytes: number;
  files: number;
}

/**
 * What is still to be uploaded, in the order in which it stands on the disk: the wanted chunks (36-byte records, sorted by
 * hash) without those in `stored` packs, found in the snapshot's locations.
 */
export async function orderUpload(
  wanted: Batches,
  stored: Iterable<StoredPack>,
  o: { node: string; workDirectory: string },
): Promise<Order> {
  const already = sortEntries(stored, join(o.workDirectory, 'stored'));
  const chunks = new RecordSorter({
    directory: fresh(join(o.workDirectory, 'order')),
    recordBytes: TO_PACK_BYTES,
    keyBytes: TO_PACK_KEY_BYTES,
  });
  const skipped = new Walk(records(already.sorted(), ENTRY_BYTES));
  const here = new Walk(records(batchesOf(join(o.workDirectory, 'locations'), LOCATION_BYTES), LOCATION_BYTES));
  const files = new NumberSet();
  let bytes = 0;
  try {
    for await (const batch of wanted) {
      for (let at = 0; at < batch.length; at += CHUNK_RECORD_BYTES) {
        const chunk = batch.subarray(at, at + CHUNK_RECORD_BYTES);
        if (skipped.find(chunk)) continue;
        const place = here.find(chunk);
        const length = chunk.readUInt32LE(HASH_BYTES);
        if (place?.readUInt32LE(HASH_BYTES) !== length) throw notHere(o.node, chunk);
        const source = place.readUInt32LE(36);
        chunks.add(encodeToPack(source, place.readBigUInt64LE(40), chunk, length));
        files.add(source);
        bytes += length;
      }
    }
  } finally {
    already.close();
  }
  return { chunks, bytes, files: files.size };
}

const NONE = new Uint8Array();

/** A share of what is to be packed. */
export interface Share {
  /** In memory of their own. */
  chunks: Uint8Array<ArrayBuffer>;
  bytes: number;
  /** Number of the source of the first. */
  first: number;
  /** Files that no former share had a chunk of. */
  begun: number;
}

/** Cuts the order into shares of at most `size` bytes of content, or a single chunk. */
export function* cutShares(order: Iterable<Buffer>, size: number): Generator<Share> {
  let share: Share | undefined;
  let room = Buffer.allocUnsafe(FIRST_SHARE * TO_PACK_BYTES);
  let held = 0;
  let last: number | undefined;
  const whole = (cut: Share): Share => ({ ...cut, chunks: Uint8Array.from(room.subarray(0, held)) });
  for (const chunk of records(order, TO_PACK_BYTES)) {
    const length = lengthOf(chunk);
    const source = sourceOf(chunk);
    if (share && share.bytes + length > size) {
      yield whole(share);
      share = undefined;
    }
    if (share === undefined) {
      share = { chunks: NONE, bytes: 0, first: source, begun: 0 };
      held = 0;
    }
    if (source !== last) share.begun++;
    last = source;
    share.bytes += length;
    if (held === room.length) room = Buffer.concat([room], 2 * room.length);
    // Copied: a batch is valid only until the next.
    held += chunk.copy(room, held);
  }
  if (share) yield whole(share);
}

/** The index entries of all packs, sorted by hash; `pack` is a pack's place among them. The caller closes it. */
export function sortEntries(packs: Iterable<StoredPack>, directory: string): RecordSorter {
  const sorter = new RecordSorter({
    directory: fresh(directory),
    recordBytes: ENTRY_BYTES,
    keyBytes: HASH_BYTES,
    unique: true,
  });
  let place = 0;
  for (const { entries } of packs) {
    for (const entry of records([entries], ENTRY_BYTES)) {
      entry.writeUInt32LE(place, HASH_BYTES);
      sorter.add(entry);
    }
    place++;
  }
  return sorter;
}

/** Without what a killed worker left there. */
function fresh(directory: string): string {
  rmSync(directory, { recursive: true, force: true });
  return directory;
}

function* records(batches: Iterable<Buffer>, recordBytes: number): Generator<Buffer> {
  for (const batch of batches) {
    for (let at = 0; at < batch.length; at += recordBytes) yield batch.subarray(at, at + recordBytes);
  }
}

function* batchesOf(path: string, recordBytes: number): Generator<Buffer> {
  const file = openSync(path, 'r');
  const most = Math.min(BATCH_BYTES, fstatSync(file).size + recordBytes);
  const batch = Buffer.allocUnsafe(most - (most % recordBytes));
  try {
    for (let at = 0; ; ) {
      const read = readSync(file, batch, 0, batch.length, at);
      if (read === 0) return;
      // Whole records only; the rest comes with the next batch.
      const whole = read - (read % recordBytes);
      if (whole === 0) throw new Error(`${path} is cut short`);
      yield batch.subarray(0, whole);
      at += whole;
    }
  } finally {
    closeSync(file);
  }
}

/** Goes once through records sorted by hash, as far as it is asked. */
class Walk {
  readonly #records: Iterator<Buffer>;
  #head: Buffer | undefined;

  constructor(sorted: Iterator<Buffer>) {
    this.#records = sorted;
    this.#next();
  }

  /** The record whose hash is that of `record`; asked for in order. */
  find(record: Buffer): Buffer | undefined {
    for (;;) {
      const order = this.#head?.compare(record, 0, HASH_BYTES, 0, HASH_BYTES) ?? 1;
      if (order === 0) return this.#head;
      if (order > 0) return undefined;
      this.#next();
    }
  }

  #next(): void {
    const { done, value } = this.#records.next();
    this.#head = done ? undefined : value;
  }
}

/** A bit for each number. */
class NumberSet {
  #bits = Buffer.alloc(1024);
  size = 0;

  add(number: number): void {
    const place = number >> 3;
    if (place >= this.#bits.length)
      this.#bits = Buffer.concat([this.#bits], Math.max(place + 1, 2 * this.#bits.length));
    const byte = this.#bits[place] as number;
    const bit = 1 << (number & 7);
    if ((byte & bit) === 0) this.size++;
    this.#bits[place] = byte | bit;
  }
}

function notHere(node: string, chunk: Buffer): HomarusError {
  const hash = chunk.toString('hex', 0, HASH_BYTES);
  return new HomarusError('Internal', `node ${node} was asked for chunk ${hash}, which its snapshot does not have`);
}
