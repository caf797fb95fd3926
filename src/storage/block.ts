import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { keys as objectKeys } from '../domain/documents.ts';
import { HomarusError } from '../domain/errors.ts';
import { blake3 } from './hash.ts';
import { release } from './memory.ts';
import type { Sealing } from './sealing.ts';
import { DOCUMENTS_GENERATION, derive } from './sealing.ts';

/** Objects, headers and blocks: docs/format.md, section 1. */
export const objectKinds = {
  root: 1,
  manifest: 2,
  mark: 3,
  staged: 4,
  pack: 5,
  index: 6,
  lease: 7,
  dataKey: 8,
} as const;
export type ObjectKind = keyof typeof objectKinds;

/** Which object a block stands in. */
export interface BlockPlace {
  readonly kind: ObjectKind;
  /** The object's key. */
  readonly key: string;
}

/** One object, as its blocks are sealed and opened: made of its header. */
export interface ObjectSeal {
  readonly place: BlockPlace;
  readonly header: Buffer;
  /** 16 bytes. */
  readonly repositoryId: Uint8Array;
  /** Of this object alone; none in a plain repository. */
  readonly key: Buffer | undefined;
}

const MAGIC = 'HOMR';
const VERSION = 1;
const PLAIN = 0;
const AES_GCM = 1;
const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const CODEC_NONE = 0;
const CODEC_ZSTD = 1;
const TAG_BYTES = 16;
const PREFIX_BYTES = 5;
/** What a block adds to its content when it is not compressed, bytes. */
export const BLOCK_OVERHEAD = PREFIX_BYTES + TAG_BYTES;
/** zlib's least. */
const MIN_CHUNK = 64;
const PLAIN_HEADER_BYTES = 12;
const GENERATION_FIELD = 8;
const SALT_BYTES = 32;
/** No block is longer when opened: what claims more is refused before memory is taken for it. */
export const MAX_BLOCK_BYTES = 64 * 1024 * 1024;

/** How long the headers of a repository's objects are. */
export const headerBytes = ({ keys }: Sealing): number => PLAIN_HEADER_BYTES + (keys ? SALT_BYTES : 0);

/** What is large is sealed with a data key, which may be replaced; documents with one that is kept from whoever has only those. */
const isBulk = (kind: ObjectKind): boolean => kind === 'pack' || kind === 'index' || kind === 'staged';

/** For an object that is written now. Never for two: its key is used for no other content. */
export function newSeal(sealing: Sealing, place: BlockPlace): ObjectSeal {
  const header = Buffer.alloc(headerBytes(sealing));
  header.write(MAGIC, 0, 'latin1');
  header[4] = objectKinds[place.kind];
  header[5] = VERSION;
  const { keys } = sealing;
  if (keys) {
    if (!keys.generations.has(keys.present)) {
      throw new HomarusError(
        'ObjectMissing',
        `${objectKeys.dataKey(keys.present)}, the data key of what is stored now, is missing or damaged: nothing can be stored`,
        { hint: '"homarus key rotate" begins another; what this one seals is lost unless the object is put back.' },
      );
    }
    header[6] = AES_GCM;
    header.writeUInt32LE(isBulk(place.kind) ? keys.present : DOCUMENTS_GENERATION, GENERATION_FIELD);
    randomBytes(SALT_BYTES).copy(header, PLAIN_HEADER_BYTES);
  }
  return sealOf(sealing, place, header);
}

/**
 * For an object that is read, by its header (or more of it). Refuses what is not an object of this kind, is not sealed as the
 * repository's objects are, or needs a newer reader.
 */
export function sealOf(sealing: Sealing, place: BlockPlace, object: Buffer): ObjectSeal {
  const header = object.subarray(0, headerBytes(sealing));
  if (header.length < PLAIN_HEADER_BYTES || header.toString('latin1', 0, 4) !== MAGIC) {
    throw damaged(place, 'it is cut short or not an object of homarus');
  }
  if (header[4] !== objectKinds[place.kind]) throw damaged(place, `it is not a ${place.kind}`);
  if (header[5] !== VERSION || (header[6] as number) > AES_GCM) {
    throw new HomarusError(
      'RepositoryIncompatible',
      `${place.key} is written in version ${header[5]}, sealing ${header[6]}; this homarus reads version ${VERSION}, sealing ${PLAIN} or ${AES_GCM}`,
    );
  }
  const { repositoryId, keys } = sealing;
  if (header[6] !== (keys ? AES_GCM : PLAIN)) {
    throw damaged(
      place,
      keys ? 'it is not encrypted as this repository is' : 'it is encrypted, this repository is not',
    );
  }
  if (header.length < headerBytes(sealing)) throw damaged(place, 'it is cut short');
  if (header[7] !== 0 || (!keys && header.readUInt32LE(GENERATION_FIELD) !== 0))
    throw damaged(place, 'its header is not what was written');
  return { place, header, repositoryId, key: keys && objectKey(sealing, place, header) };
}

function objectKey({ keys }: Sealing, place: BlockPlace, header: Buffer): Buffer {
  const generation = header.readUInt32LE(GENERATION_FIELD);
  const key = keys?.generations.get(generation);
  if (key === undefined || (generation === DOCUMENTS_GENERATION) === isBulk(place.kind)) {
    throw damaged(
      place,
      `its data key, generation ${generation}, is not one that the repository has for a ${place.kind}`,
    );
  }
  return derive(key, header.subarray(PLAIN_HEADER_BYTES), `object ${objectKinds[place.kind]}`);
}

/** Generation and salt of an object, as hex: what opens its blocks without its header. Undefined where nothing is encrypted. */
export const sealText = ({ key, header }: ObjectSeal): string | undefined =>
  key && header.toString('hex', GENERATION_FIELD);

/** The generation of the data key that sealed the object whose `sealText` this is; 0 where nothing is encrypted. */
export const generationOf = (text: string | undefined): number =>
  text === undefined ? 0 : Buffer.from(text.slice(0, 8), 'hex').readUInt32LE();

/** The seal of the object whose `sealText` this is. */
export function sealOfText(sealing: Sealing, place: BlockPlace, text: string | undefined): ObjectSeal {
  const header = Buffer.alloc(headerBytes(sealing));
  header.write(MAGIC, 0, 'latin1');
  header[4] = objectKinds[place.kind];
  header[5] = VERSION;
  if (sealing.keys) {
    header[6] = AES_GCM;
    if (header.write(text ?? '', GENERATION_FIELD, 'hex') !== SALT_BYTES + 4) {
      throw damaged(place, 'what refers to it does not say how it is sealed');
    }
  }
  return sealOf(sealing, place, header);
}

/** Repository, object and place in it: what a block is bound to. */
function contextOf({ repositoryId, place }: ObjectSeal, offset: number): Buffer {
  const context = Buffer.alloc(16 + 3 + place.key.length + 8);
  context.set(repositoryId);
  context[16] = objectKinds[place.kind];
  context.writeUInt16LE(place.key.length, 17);
  context.write(place.key, 19, 'latin1');
  context.writeBigUInt64LE(BigInt(offset), 19 + place.key.length);
  return context;
}

/** No two blocks of an object begin at one offset, and no two objects have one key. */
function nonceOf(offset: number): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeBigUInt64LE(BigInt(offset));
  return nonce;
}

/** One block as it is stored. `offset` is its place in the object; `level` that of zstd, 0 for none. */
export function sealBlock(seal: ObjectSeal, offset: number, content: Uint8Array, level: number): Buffer {
  const block = Buffer.allocUnsafeSlow(content.length + BLOCK_OVERHEAD);
  return block.subarray(0, sealBlockInto(block, 0, seal, offset, content, level));
}

/** Writes the block to `into` at `at`, where `content.length + BLOCK_OVERHEAD` bytes must have room. Answers where it ends. */
export function sealBlockInto(
  into: Buffer,
  at: number,
  seal: ObjectSeal,
  offset: number,
  content: Uint8Array,
  level: number,
): number {
  const packed = level > 0 && content.length > 0 ? compressed(content, level) : content;
  const smaller = packed.length < content.length;
  const payload = smaller ? packed : content;
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix[0] = smaller ? CODEC_ZSTD : CODEC_NONE;
  prefix.writeUInt32LE(content.length, 1);
  const context = contextOf(seal, offset);
  let end = at;
  const put = (bytes: Uint8Array): void => {
    into.set(bytes, end);
    end += bytes.length;
  };
  if (seal.key) {
    const cipher = createCipheriv(CIPHER, seal.key, nonceOf(offset)).setAAD(context);
    put(cipher.update(prefix));
    const hidden = cipher.update(payload);
    put(hidden);
    release(hidden);
    put(cipher.final());
    put(cipher.getAuthTag());
  } else {
    put(prefix);
    put(payload);
    put(blake3.hash([context, prefix, payload]).subarray(0, TAG_BYTES));
  }
  if (packed !== content) release(packed);
  return end;
}

/** Its output in one piece: with room for whatever may come (ZSTD_compressBound), zstd copies nothing. */
const compressed = (content: Uint8Array, level: number): Buffer =>
  zstdCompressSync(content, {
    params: { [constants.ZSTD_c_compressionLevel]: level },
    chunkSize: content.length + (content.length >> 8) + 128,
  });

/** The content of a stored block; `ObjectDamaged` when it is not what was written at this very place. */
export function openBlock(seal: ObjectSeal, offset: number, stored: Buffer): Buffer {
  const { place } = seal;
  if (stored.length < BLOCK_OVERHEAD) throw damaged(place, `the block at ${offset} is cut short`);
  const body = verified(seal, offset, stored);
  const rawLength = body.readUInt32LE(1);
  const payload = body.subarray(PREFIX_BYTES);
  if (rawLength > MAX_BLOCK_BYTES) throw damaged(place, `the block at ${offset} claims ${rawLength} bytes`);
  if (body[0] === CODEC_NONE && payload.length === rawLength) return payload;
  if (body[0] !== CODEC_ZSTD) throw damaged(place, `the block at ${offset} has an unknown codec or a wrong length`);
  try {
    // A byte more than it needs: what fills its room exactly is asked for more.
    const options = { maxOutputLength: Math.max(rawLength, 1), chunkSize: Math.max(rawLength + 1, MIN_CHUNK) };
    const content = zstdDecompressSync(payload, options);
    if (seal.key) release(body);
    if (content.length === rawLength) return content;
  } catch (cause) {
    throw damaged(place, `the block at ${offset} does not decompress`, cause);
  }
  throw damaged(place, `the block at ${offset} has a wrong length`);
}

/** Codec, length and payload of a block that is what was written there. */
function verified(seal: ObjectSeal, offset: number, stored: Buffer): Buffer {
  const body = stored.subarray(0, stored.length - TAG_BYTES);
  const tag = stored.subarray(stored.length - TAG_BYTES);
  const context = contextOf(seal, offset);
  if (!seal.key) {
    if (blake3.hash([context, body]).subarray(0, TAG_BYTES).equals(tag)) return body;
    throw notWritten(seal, offset);
  }
  const decipher = createDecipheriv(CIPHER, seal.key, nonceOf(offset)).setAAD(context).setAuthTag(tag);
  const opened = decipher.update(body);
  try {
    decipher.final();
  } catch (cause) {
    throw notWritten(seal, offset, cause);
  }
  return opened;
}

const notWritten = ({ place }: ObjectSeal, offset: number, cause?: unknown): HomarusError =>
  damaged(place, `the block at ${offset} is not what was written there`, cause);

/** An object of one block: documents and staged lists. */
export function sealObject(sealing: Sealing, place: BlockPlace, content: Uint8Array, level: number): Buffer {
  const seal = newSeal(sealing, place);
  return Buffer.concat([seal.header, sealBlock(seal, seal.header.length, content, level)]);
}

export function openObject(sealing: Sealing, place: BlockPlace, stored: Buffer): Buffer {
  const seal = sealOf(sealing, place, stored);
  return openBlock(seal, seal.header.length, stored.subarray(seal.header.length));
}

export function damaged(place: BlockPlace, what: string, cause?: unknown): HomarusError {
  return new HomarusError('ObjectDamaged', `${place.key} is damaged: ${what}`, cause === undefined ? {} : { cause });
}
