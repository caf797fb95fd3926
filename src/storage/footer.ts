import type { BlockPlace, ObjectSeal } from './block.ts';
import { BLOCK_OVERHEAD, damaged, headerBytes, MAX_BLOCK_BYTES, openBlock, sealOf } from './block.ts';
import type { CallOptions } from './objectStore.ts';
import type { Repository } from './repository.ts';
import { missing } from './repository.ts';

/** Objects that are read in parts, packs and indexes: what they hold is in the footer. docs/format.md, section 1. */

export const TRAILER_BYTES = 8;
const TRAILER_MAGIC = 'HOMF';
/** Most footers are shorter, bytes: one request reads them. */
const FOOTER_GUESS = 64 * 1024;
/** Objects that are no longer are read whole: their header is needed, too. */
const SMALL = 512 * 1024;

/** The last bytes of such an object. */
export function trailer(footerLength: number): Buffer {
  const bytes = Buffer.alloc(TRAILER_BYTES);
  bytes.writeUInt32LE(footerLength);
  bytes.write(TRAILER_MAGIC, 4, 'latin1');
  return bytes;
}

/**
 * The content of the footer of an object of `length` bytes, and the block as stored; the header is checked, too.
 * `ObjectMissing`, `ObjectDamaged`, `RepositoryIncompatible`.
 */
export async function readFooter(
  repository: Repository,
  place: BlockPlace,
  length: number,
  options: CallOptions = {},
): Promise<{ content: Buffer; stored: Buffer; seal: ObjectSeal }> {
  const header = headerBytes(repository.sealing);
  if (length < header + TRAILER_BYTES) throw damaged(place, `${length} bytes are too few`);
  const guess = length <= SMALL ? length : FOOTER_GUESS;
  let [end, start] = await Promise.all([
    readRange(repository, place, length - guess, guess, options),
    guess === length ? undefined : readRange(repository, place, 0, header, options),
  ]);
  const seal = sealOf(repository.sealing, place, start ?? end);
  const tail = end.subarray(-TRAILER_BYTES);
  if (tail.toString('latin1', 4) !== TRAILER_MAGIC) throw damaged(place, 'it does not end in a footer');
  const footer = tail.readUInt32LE(0);
  const needed = footer + TRAILER_BYTES;
  if (needed > length - header || footer > MAX_BLOCK_BYTES + BLOCK_OVERHEAD) {
    throw damaged(place, `its footer claims ${footer} bytes`);
  }
  if (needed > end.length) end = await readRange(repository, place, length - needed, needed, options);
  const stored = end.subarray(end.length - needed, end.length - TRAILER_BYTES);
  return { content: openBlock(seal, length - needed, stored), stored, seal };
}

/** Bytes of an object. `ObjectMissing`; `ObjectDamaged` when it is shorter than what refers to it says. */
export async function readRange(
  repository: Repository,
  place: BlockPlace,
  start: number,
  length: number,
  options: CallOptions = {},
): Promise<Buffer> {
  const bytes = await repository.store.read(place.key, { start, length }, options);
  if (bytes === undefined) throw missing(repository, place.kind, place.key);
  if (bytes.length !== length) throw damaged(place, `it ends before byte ${start + length}`);
  return bytes;
}
