import { HASH_BYTES } from './hash.ts';
import type { PackRef } from './pack.ts';

/**
 * Reading chunks in the order in which they stand in packs. A place is a record that sorts so:
 * pack:u32 offset:u32 inner:u32 (big-endian, the key) stored:u32 length:u32 hash:32, where `pack` is a number in some list.
 */
export const PLACE_BYTES = 52;
export const PLACE_KEY_BYTES = 12;
const STORED_FIELD = 12;

/** One request reads at most so much, unless one block is larger, and reads through gaps as small as this, bytes. */
const REQUEST_BYTES = 16 * 1024 * 1024;
const GAP_BYTES = 128 * 1024;
/** A chunk may be wanted any number of times. */
const REQUEST_RECORDS = 8192;

export interface Place {
  offset: number;
  inner: number;
  stored: number;
  length: number;
  hash: Buffer;
}

export function encodePlace(pack: number, { offset, inner, stored, length, hash }: Place): Buffer {
  const record = Buffer.allocUnsafe(PLACE_BYTES);
  record.writeUInt32BE(pack, 0);
  record.writeUInt32BE(offset, 4);
  record.writeUInt32BE(inner, 8);
  record.writeUInt32LE(stored, STORED_FIELD);
  record.writeUInt32LE(length, 16);
  hash.copy(record, 20, 0, HASH_BYTES);
  return record;
}

export const decodePlace = (places: Buffer, at: number): Place => ({
  offset: places.readUInt32BE(at + 4),
  inner: places.readUInt32BE(at + 8),
  stored: places.readUInt32LE(at + STORED_FIELD),
  length: places.readUInt32LE(at + 16),
  hash: places.subarray(at + 20, at + PLACE_BYTES),
});

/** What one request reads of a pack. */
export interface PackRange {
  pack: PackRef;
  start: number;
  length: number;
  /** Those that stand in it, sorted. */
  records: Buffer;
}

/** Their records begin as places do. */
export interface RangeShape {
  recordBytes: number;
  /** Where the length of the block as stored is in a record (u32, little-endian). */
  storedField: number;
}

const PLACES: RangeShape = { recordBytes: PLACE_BYTES, storedField: STORED_FIELD };

/** The requests that read all sorted records. `packs`: what their numbers mean. */
export function* cutRanges(
  sorted: Iterable<Buffer>,
  packs: readonly PackRef[],
  { recordBytes, storedField }: RangeShape = PLACES,
): Generator<PackRange> {
  let open: { pack: number; start: number; end: number; records: Buffer[] } | undefined;
  const close = ({ pack, start, end, records }: NonNullable<typeof open>): PackRange => {
    return { pack: packs[pack] as PackRef, start, length: end - start, records: Buffer.concat(records) };
  };
  for (const batch of sorted) {
    for (let at = 0; at < batch.length; at += recordBytes) {
      const pack = batch.readUInt32BE(at);
      const offset = batch.readUInt32BE(at + 4);
      const end = offset + batch.readUInt32LE(at + storedField);
      const fits =
        open?.pack === pack &&
        open.records.length < REQUEST_RECORDS &&
        (end <= open.end || (offset - open.end <= GAP_BYTES && end - open.start <= REQUEST_BYTES));
      if (open && !fits) {
        yield close(open);
        open = undefined;
      }
      open ??= { pack, start: offset, end, records: [] };
      open.end = end;
      // Copied: the batch is valid only until the next.
      open.records.push(Buffer.from(batch.subarray(at, at + recordBytes)));
    }
  }
  if (open) yield close(open);
}
