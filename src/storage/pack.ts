import { isDeepStrictEqual } from 'node:util';
import { keys } from '../domain/documents.ts';
import type { BlockPlace, ObjectSeal } from './block.ts';
import {
  BLOCK_OVERHEAD,
  damaged,
  MAX_BLOCK_BYTES,
  newSeal,
  openBlock,
  sealBlockInto,
  sealOf,
  sealOfText,
  sealText,
} from './block.ts';
import { readFooter, TRAILER_BYTES, trailer } from './footer.ts';
import { HASH_BYTES } from './hash.ts';
import { release } from './memory.ts';
import type { CallOptions } from './objectStore.ts';
import type { Repository } from './repository.ts';
import type { Sealing } from './sealing.ts';
import { nameChunk } from './sealing.ts';

/** Packs: docs/format.md, section 2. */

/** An entry of an index: hash:32 pack:u32 offset:u32 stored:u32 inner:u32 length:u32. */
export const ENTRY_BYTES = 52;
const PACK_FIELD = 32;
const OFFSET_FIELD = 36;
const STORED_FIELD = 40;
const INNER_FIELD = 44;
const LENGTH_FIELD = 48;
const CHUNK_BYTES = HASH_BYTES + 4;
const BLOCK_BYTES = 16;

export interface PackRef {
  id: string;
  /** Bytes of the object, and of its footer block as stored. */
  length: number;
  footer: number;
  chunks: number;
  /** Of an encrypted one: generation and salt of its header, hex. */
  seal?: string | undefined;
}

export const packPlace = (id: string): BlockPlace => ({ kind: 'pack', key: keys.pack(id) });

/** What opens the blocks of a pack. */
export const packSeal = (sealing: Sealing, { id, seal }: Pick<PackRef, 'id' | 'seal'>): ObjectSeal =>
  sealOfText(sealing, packPlace(id), seal);

/** What an entry says of a chunk's place; `pack` is the number of the pack in its index. */
export interface EntryFields {
  pack: number;
  offset: number;
  stored: number;
  inner: number;
  length: number;
}

export const readEntry = (entries: Buffer, at: number): EntryFields => ({
  pack: entries.readUInt32LE(at + PACK_FIELD),
  offset: entries.readUInt32LE(at + OFFSET_FIELD),
  stored: entries.readUInt32LE(at + STORED_FIELD),
  inner: entries.readUInt32LE(at + INNER_FIELD),
  length: entries.readUInt32LE(at + LENGTH_FIELD),
});

export interface BuiltPack {
  pack: PackRef;
  /** In memory that may be larger. */
  body: Buffer<ArrayBuffer>;
  /** Index entries in the order of the chunks in the pack, with pack 0. */
  entries: Buffer;
}

export interface PackBuilderOptions {
  /** Bytes of a block of small chunks. */
  block: number;
  /** Of zstd, 0 for none. */
  level: number;
  /** What is to come, if it is known, so that memory is taken once: content in bytes, and chunks. */
  expected?: { raw: number; chunks: number };
  /** Memory that may be used for the body. */
  room?: ArrayBuffer | undefined;
}

/** Builds one pack in memory: large chunks in blocks of their own, small ones together. */
export class PackBuilder {
  readonly #id: string;
  readonly #seal: ObjectSeal;
  readonly #level: number;
  #body: Buffer<ArrayBuffer>;
  #size: number;
  readonly #blocks: { offset: number; stored: number; raw: number; chunks: number }[] = [];
  /** Chunks whose blocks are sealed, and those of the open block. */
  readonly #sealed = new EntryList();
  readonly #waiting = new EntryList();
  readonly #open: Buffer;
  #openBytes = 0;
  /** Content so far, bytes. */
  rawBytes = 0;

  constructor(sealing: Sealing, id: string, { block, level, expected, room }: PackBuilderOptions) {
    this.#id = id;
    this.#seal = newSeal(sealing, packPlace(id));
    this.#level = level;
    this.#open = Buffer.allocUnsafeSlow(block);
    const bytes = mostBytes(this.#seal, expected ?? { raw: block, chunks: 1 });
    const fits = room !== undefined && room.byteLength >= bytes;
    if (room && !fits) release(Buffer.from(room));
    this.#body = fits ? Buffer.from(room) : Buffer.allocUnsafeSlow(expected ? roundedUp(bytes) : bytes);
    this.#size = this.#seal.header.copy(this.#body);
  }

  /** Neither the chunk's hash nor its content is needed any more when it returns. */
  add(chunk: Buffer, content: Buffer): void {
    this.rawBytes += content.length;
    if (content.length >= this.#open.length) {
      const alone = new EntryList();
      alone.add(chunk, 0, content.length);
      this.#addBlock(content, alone);
      return;
    }
    if (this.#openBytes + content.length > this.#open.length) this.#sealOpen();
    this.#waiting.add(chunk, this.#openBytes, content.length);
    content.copy(this.#open, this.#openBytes);
    this.#openBytes += content.length;
  }

  finish(): BuiltPack {
    this.#sealOpen();
    release(this.#open);
    const entries = this.#sealed.bytes;
    const end = this.#size;
    const content = this.#footer(entries);
    this.#seals(content);
    release(content);
    const footer = this.#size - end;
    this.#room(TRAILER_BYTES);
    this.#size += trailer(footer).copy(this.#body, this.#size);
    const body = this.#body.subarray(0, this.#size);
    return { pack: refOf(this.#id, body.length, footer, entries, this.#seal), body, entries };
  }

  #sealOpen(): void {
    if (this.#waiting.bytes.length > 0) this.#addBlock(this.#open.subarray(0, this.#openBytes), this.#waiting);
    this.#waiting.clear();
    this.#openBytes = 0;
  }

  #addBlock(content: Buffer, chunks: EntryList): void {
    const offset = this.#size;
    this.#seals(content);
    const stored = this.#size - offset;
    const entries = chunks.bytes;
    for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
      entries.writeUInt32LE(offset, at + OFFSET_FIELD);
      entries.writeUInt32LE(stored, at + STORED_FIELD);
    }
    this.#sealed.append(entries);
    this.#blocks.push({ offset, stored, raw: content.length, chunks: entries.length / ENTRY_BYTES });
  }

  #seals(content: Buffer): void {
    this.#room(content.length + BLOCK_OVERHEAD);
    this.#size = sealBlockInto(this.#body, this.#size, this.#seal, this.#size, content, this.#level);
  }

  #room(bytes: number): void {
    if (this.#size + bytes <= this.#body.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#size + bytes, 2 * this.#body.length));
    this.#body.copy(larger, 0, 0, this.#size);
    release(this.#body);
    this.#body = larger;
  }

  #footer(entries: Buffer): Buffer {
    const blocksEnd = 4 + this.#blocks.length * BLOCK_BYTES;
    const footer = Buffer.alloc(blocksEnd + (entries.length / ENTRY_BYTES) * CHUNK_BYTES);
    let to = footer.writeUInt32LE(this.#blocks.length);
    for (const { offset, stored, raw, chunks } of this.#blocks) {
      for (const field of [offset, stored, raw, chunks]) to = footer.writeUInt32LE(field, to);
    }
    for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
      entries.copy(footer, to, at, at + HASH_BYTES);
      to = footer.writeUInt32LE(entries.readUInt32LE(at + LENGTH_FIELD), to + HASH_BYTES);
    }
    return footer;
  }
}

/** Of a pack in which each chunk has a block of its own and nothing can be compressed. */
const mostBytes = ({ header }: ObjectSeal, { raw, chunks }: { raw: number; chunks: number }): number =>
  header.length + raw + chunks * (BLOCK_OVERHEAD + BLOCK_BYTES + CHUNK_BYTES) + 4 + BLOCK_OVERHEAD + TRAILER_BYTES;

/** Bodies differ a little with the number of their chunks: memory that was taken for one is to fit the next. */
const ROOM_STEP = 4 * 1024 * 1024;
const roundedUp = (bytes: number): number => Math.ceil(bytes / ROOM_STEP) * ROOM_STEP;

/** Index entries in one buffer that grows. */
class EntryList {
  #entries = Buffer.alloc(ENTRY_BYTES);
  #length = 0;

  get bytes(): Buffer {
    return this.#entries.subarray(0, this.#length);
  }

  add(chunk: Buffer, inner: number, length: number): void {
    this.#room(ENTRY_BYTES);
    const at = this.#length;
    this.#entries.fill(0, at, at + ENTRY_BYTES);
    chunk.copy(this.#entries, at, 0, HASH_BYTES);
    this.#entries.writeUInt32LE(inner, at + INNER_FIELD);
    this.#entries.writeUInt32LE(length, at + LENGTH_FIELD);
    this.#length += ENTRY_BYTES;
  }

  append(entries: Buffer): void {
    this.#room(entries.length);
    this.#length += entries.copy(this.#entries, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#entries.length) return;
    const larger = Buffer.alloc(Math.max(this.#length + bytes, this.#entries.length * 2));
    this.#entries.copy(larger, 0, 0, this.#length);
    release(this.#entries);
    this.#entries = larger;
  }
}

/** What a pack's footer says of its chunks, as index entries with pack 0 in their order. `ObjectMissing`, `ObjectDamaged`. */
export async function readPackFooter(
  repository: Repository,
  pack: { id: string; length: number },
  options: CallOptions = {},
): Promise<{ pack: PackRef; entries: Buffer }> {
  const { id, length } = pack;
  const { content, stored, seal } = await readFooter(repository, packPlace(id), length, options);
  const entries = entriesOf(seal, content, length - TRAILER_BYTES - stored.length);
  return { pack: refOf(id, length, stored.length, entries, seal), entries };
}

function refOf(id: string, length: number, footer: number, entries: Buffer, seal: ObjectSeal): PackRef {
  const sealed = sealText(seal);
  return {
    id,
    length,
    footer,
    chunks: entries.length / ENTRY_BYTES,
    ...(sealed === undefined ? {} : { seal: sealed }),
  };
}

/** `end`: where the pack's blocks end. They must fill it, and the chunks must fill them. */
function entriesOf({ place, header }: ObjectSeal, footer: Buffer, end: number): Buffer {
  const refuse = (): never => {
    throw damaged(place, 'its footer contradicts itself');
  };
  const blocks = footer.length < 4 ? refuse() : footer.readUInt32LE(0);
  let from = 4 + blocks * BLOCK_BYTES;
  if (from > footer.length || (footer.length - from) % CHUNK_BYTES !== 0) refuse();
  const entries = Buffer.alloc(((footer.length - from) / CHUNK_BYTES) * ENTRY_BYTES);
  let to = 0;
  let expected = header.length;
  for (let at = 4; at < 4 + blocks * BLOCK_BYTES; at += BLOCK_BYTES) {
    const offset = footer.readUInt32LE(at);
    const stored = footer.readUInt32LE(at + 4);
    const raw = footer.readUInt32LE(at + 8);
    const chunks = footer.readUInt32LE(at + 12);
    if (offset !== expected || raw > MAX_BLOCK_BYTES || chunks * CHUNK_BYTES > footer.length - from) refuse();
    expected += stored;
    let inner = 0;
    for (let chunk = 0; chunk < chunks; chunk++, from += CHUNK_BYTES, to += ENTRY_BYTES) {
      footer.copy(entries, to, from, from + HASH_BYTES);
      const length = footer.readUInt32LE(from + HASH_BYTES);
      if (length > raw - inner) refuse();
      entries.writeUInt32LE(offset, to + OFFSET_FIELD);
      entries.writeUInt32LE(stored, to + STORED_FIELD);
      entries.writeUInt32LE(inner, to + INNER_FIELD);
      entries.writeUInt32LE(length, to + LENGTH_FIELD);
      inner += length;
    }
    if (inner !== raw) refuse();
  }
  if (expected !== end || from !== footer.length) refuse();
  return entries;
}

/**
 * Checks every block and chunk of a pack that was read whole. `ObjectDamaged`, also when it is not the pack that `pack`
 * describes.
 */
export function checkPack(sealing: Sealing, pack: PackRef, stored: Buffer): void {
  const place = packPlace(pack.id);
  if (stored.length !== pack.length) throw damaged(place, `it has ${stored.length} bytes, not ${pack.length}`);
  const seal = sealOf(sealing, place, stored);
  const end = pack.length - TRAILER_BYTES - pack.footer;
  const entries = entriesOf(seal, openBlock(seal, end, stored.subarray(end, end + pack.footer)), end);
  if (!isDeepStrictEqual(refOf(pack.id, pack.length, pack.footer, entries, seal), pack)) {
    throw damaged(place, 'it is not the pack that its index names');
  }
  let block: Buffer = stored;
  let opened = -1;
  for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
    const { offset, stored: length, inner, length: bytes } = readEntry(entries, at);
    if (offset !== opened) block = openBlock(seal, offset, stored.subarray(offset, offset + length));
    opened = offset;
    const hash = entries.subarray(at, at + HASH_BYTES);
    if (!nameChunk(sealing, block.subarray(inner, inner + bytes)).equals(hash)) {
      throw damaged(place, `chunk ${hash.toString('hex')} has another content`);
    }
  }
}
