import { crc32 } from 'node:zlib';
import { HomarusError } from '../../domain/errors.ts';
import type { KeyValue } from './keys.ts';

/**
 * Keys and values as a stream of a backup: records of `key length:u32 value length:u32 lease:u64 key value`,
 * little-endian, in the order of the keys. It is cut behind keys that say so themselves, so that a change leaves the
 * chunks before and behind it as they were.
 */

const HEADER_BYTES = 16;
/** Of a chunk, bytes: on average, and the most but for a single record. */
const TYPICAL = 1024 * 1024;
const LARGEST = 8 * 1024 * 1024;

/** Chunks of the stream; `count` is told of each key. */
export async function* encodeKeys(
  keys: AsyncIterable<KeyValue>,
  count: (key: KeyValue, bytes: number) => void = () => undefined,
): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let length = 0;
  for await (const one of keys) {
    const { key, value, lease } = one;
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32LE(key.length, 0);
    header.writeUInt32LE(value.length, 4);
    header.writeBigInt64LE(lease, 8);
    const bytes = HEADER_BYTES + key.length + value.length;
    if (length > 0 && length + bytes > LARGEST) {
      yield Buffer.concat(parts, length);
      parts = [];
      length = 0;
    }
    parts.push(header, key, value);
    length += bytes;
    count(one, bytes);
    // The larger the record, the likelier: chunks come to the typical size whatever they hold.
    if (crc32(key) < (2 ** 32 * bytes) / TYPICAL) {
      yield Buffer.concat(parts, length);
      parts = [];
      length = 0;
    }
  }
  if (length > 0) yield Buffer.concat(parts, length);
}

/** The keys of such a stream, however it is cut. */
export async function* decodeKeys(chunks: AsyncIterable<Buffer>): AsyncGenerator<KeyValue> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (at + HEADER_BYTES <= rest.length) {
      const valueAt = at + HEADER_BYTES + rest.readUInt32LE(at);
      const end = valueAt + rest.readUInt32LE(at + 4);
      if (end > rest.length) break;
      const lease = rest.readBigInt64LE(at + 8);
      yield { key: rest.subarray(at + HEADER_BYTES, valueAt), value: rest.subarray(valueAt, end), lease };
      at = end;
    }
    rest = rest.subarray(at);
  }
  if (rest.length > 0) throw new HomarusError('ObjectDamaged', 'a stream of keys of etcd ends within a key');
}
