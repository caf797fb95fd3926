import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { HomarusError } from '../domain/errors.ts';
import { blake3 } from './hash.ts';

/** Objects, headers and blocks: docs/format.md, section 1. */
export const objectKinds = { root: 1, manifest: 2, mark: 3, staged: 4, pack: 5, index: 6 } as const;
export type ObjectKind = keyof typeof objectKinds;

/** What a repository puts on every block; keys will join it when repositories can be encrypted. */
export interface Sealing {
  /** 16 bytes. */
  readonly repositoryId: Buffer;
}

/** Which object a block stands in. */
export interface BlockPlace {
  readonly kind: ObjectKind;
  /** The object's key. */
  readonly key: string;
}

const MAGIC = 'HOMR';
const VERSION = 1;
const CODEC_NONE = 0;
const CODEC_ZSTD = 1;
const TAG_BYTES = 16;
const PREFIX_BYTES = 5;
/** What a block adds to its content when it is not compressed, bytes. */
export const BLOCK_OVERHEAD = PREFIX_BYTES + TAG_BYTES;
export const HEADER_BYTES = 12;
/** No block is longer when opened: what claims more is refused before memory is taken for it. */
export const MAX_BLOCK_BYTES = 64 * 1024 * 1024;

export function objectHeader(kind: ObjectKind): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(MAGIC, 0, 'latin1');
  header[4] = objectKinds[kind];
  header[5] = VERSION;
  return header;
}

/** Refuses what is not an object of this kind, or needs a newer reader. */
export function checkHeader(place: BlockPlace, header: Buffer): void {
  if (header.length < HEADER_BYTES || header.toString('latin1', 0, 4) !== MAGIC) {
    throw damaged(place, 'it is cut short or not an object of homarus');
  }
  if (header[4] !== objectKinds[place.kind]) throw damaged(place, `it is not a ${place.kind}`);
  if (header[5] !== VERSION || header[6] !== 0) {
    throw new HomarusError(
      'RepositoryIncompatible',
      `${place.key} is written in version ${header[5]}, sealing ${header[6]}; this homarus reads version ${VERSION}, unsealed`,
    );
  }
}

function tagOf(sealing: Sealing, place: BlockPlace, offset: number, body: Uint8Array): Buffer {
  const context = Buffer.alloc(16 + 3 + place.key.length + 8);
  sealing.repositoryId.copy(context);
  context[16] = objectKinds[place.kind];
  context.writeUInt16LE(place.key.length, 17);
  context.write(place.key, 19, 'latin1');
  context.writeBigUInt64LE(BigInt(offset), 19 + place.key.length);
  return blake3.hash([context, body]).subarray(0, TAG_BYTES);
}

/** One block as it is stored. `offset` is its place in the object; `level` that of zstd, 0 for none. */
export function sealBlock(
  sealing: Sealing,
  place: BlockPlace,
  offset: number,
  content: Uint8Array,
  level: number,
): Buffer {
  let codec = CODEC_NONE;
  let payload = content;
  if (level > 0 && content.length > 0) {
    const packed = zstdCompressSync(content, { params: { [constants.ZSTD_c_compressionLevel]: level } });
    if (packed.length < content.length) {
      codec = CODEC_ZSTD;
      payload = packed;
    }
  }
  const stored = Buffer.allocUnsafe(PREFIX_BYTES + payload.length + TAG_BYTES);
  stored[0] = codec;
  stored.writeUInt32LE(content.length, 1);
  stored.set(payload, PREFIX_BYTES);
  const body = stored.subarray(0, PREFIX_BYTES + payload.length);
  tagOf(sealing, place, offset, body).copy(stored, body.length);
  return stored;
}

/** The content of a stored block; `ObjectDamaged` when it is not what was written at this very place. */
export function openBlock(sealing: Sealing, place: BlockPlace, offset: number, stored: Buffer): Buffer {
  const end = stored.length - TAG_BYTES;
  if (end < PREFIX_BYTES) throw damaged(place, `the block at ${offset} is cut short`);
  const body = stored.subarray(0, end);
  if (!tagOf(sealing, place, offset, body).equals(stored.subarray(end))) {
    throw damaged(place, `the block at ${offset} is not what was written there`);
  }
  const rawLength = stored.readUInt32LE(1);
  const payload = body.subarray(PREFIX_BYTES);
  if (rawLength > MAX_BLOCK_BYTES) throw damaged(place, `the block at ${offset} claims ${rawLength} bytes`);
  if (stored[0] === CODEC_NONE && payload.length === rawLength) return payload;
  if (stored[0] !== CODEC_ZSTD) throw damaged(place, `the block at ${offset} has an unknown codec or a wrong length`);
  try {
    const content = zstdDecompressSync(payload, { maxOutputLength: Math.max(rawLength, 1) });
    if (content.length === rawLength) return content;
  } catch (cause) {
    throw damaged(place, `the block at ${offset} does not decompress`, cause);
  }
  throw damaged(place, `the block at ${offset} has a wrong length`);
}

/** An object of one block: documents and staged lists. */
export function sealObject(sealing: Sealing, place: BlockPlace, content: Uint8Array, level: number): Buffer {
  return Buffer.concat([objectHeader(place.kind), sealBlock(sealing, place, HEADER_BYTES, content, level)]);
}

export function openObject(sealing: Sealing, place: BlockPlace, stored: Buffer): Buffer {
  checkHeader(place, stored);
  return openBlock(sealing, place, HEADER_BYTES, stored.subarray(HEADER_BYTES));
}

export function damaged(place: BlockPlace, what: string, cause?: unknown): HomarusError {
  return new HomarusError('ObjectDamaged', `${place.key} is damaged: ${what}`, cause === undefined ? {} : { cause });
}
