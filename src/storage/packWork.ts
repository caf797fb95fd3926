import type { HomarusError } from '../domain/errors.ts';
import { hasCode } from '../domain/errors.ts';
import type { ObjectSeal } from './block.ts';
import { damaged, openBlock } from './block.ts';
import type { ChunkSetMemory } from './chunkSet.ts';
import { ChunkSet } from './chunkSet.ts';
import { asBuffer, HASH_BYTES } from './hash.ts';
import type { BuiltPack, PackRef } from './pack.ts';
import { PackBuilder, packPlace, packSeal } from './pack.ts';
import { decodePlace, PLACE_BYTES } from './packRanges.ts';
import { CHUNK_RECORD_BYTES } from './plan.ts';
import type { Sealing } from './sealing.ts';
import { nameChunk } from './sealing.ts';
import { CHUNK_BYTES, chunkListsOf } from './tree.ts';

/**
 * What keeps a processor busy while packs are read and rewritten: functions of bytes alone, so that a job may have its pool
 * do them. Buffers may come from another thread.
 */
export interface PackWork {
  markPages(args: MarkArgs): Promise<MarkedPages>;
  openChunks(args: ReadArgs): Promise<OpenedChunks>;
  buildPack(args: BuildArgs): Promise<BuiltPack>;
}

export const inThisThread: PackWork = {
  markPages: async (args) => markPages(args),
  openChunks: async (args) => openChunks(args),
  buildPack: async (args) => buildPack(args),
};

/** What was read of a pack, from `start` on, and the chunks that are wanted of it. */
export interface ReadArgs {
  sealing: Sealing;
  pack: PackRef;
  stored: Uint8Array;
  start: number;
  /** Sorted (`packRanges.ts`). */
  places: Uint8Array;
}

export interface MarkArgs extends ReadArgs {
  set: ChunkSetMemory;
}

export interface MarkedPages {
  /** Chunks that the pages name, and how many of them are in the set. */
  named: number;
  known: number;
}

/** Marks what pages of trees name. `ObjectDamaged`: what a page names that cannot be read is not known. */
export function markPages(args: MarkArgs): MarkedPages {
  const set = new ChunkSet(args.set);
  const marked: MarkedPages = { named: 0, known: 0 };
  for (const { content } of readPlaces(args)) {
    if (!Buffer.isBuffer(content)) throw content;
    for (const chunks of chunkListsOf(content)) {
      for (let at = 0; at < chunks.length; at += CHUNK_BYTES) {
        marked.named++;
        if (set.mark(chunks, at)) marked.known++;
      }
    }
  }
  return marked;
}

export interface OpenedChunks {
  /** Verified, one after another. */
  content: Uint8Array<ArrayBuffer>;
  /** For each `hash:32 length:u32`. */
  chunks: Uint8Array<ArrayBuffer>;
  /** What did not verify, if anything. */
  damage: string | null;
}

export function openChunks(args: ReadArgs): OpenedChunks {
  const contents: Buffer[] = [];
  const chunks: Buffer[] = [];
  let damage: string | null = null;
  for (const { hash, content } of readPlaces(args)) {
    if (!Buffer.isBuffer(content)) {
      damage ??= content.message;
      continue;
    }
    const record = Buffer.allocUnsafe(CHUNK_RECORD_BYTES);
    hash.copy(record);
    record.writeUInt32LE(content.length, HASH_BYTES);
    contents.push(content);
    chunks.push(record);
  }
  return { content: joined(contents), chunks: joined(chunks), damage };
}

/** In memory of its own, so that it can change threads without being copied. */
function joined(parts: readonly Buffer[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export interface BuildArgs {
  sealing: Sealing;
  id: string;
  /** Bytes of a block of small chunks. */
  block: number;
  level: number;
  parts: readonly Pick<OpenedChunks, 'content' | 'chunks'>[];
}

/** A pack of chunks that were opened. */
export function buildPack(args: BuildArgs): BuiltPack {
  const sum = (bytes: (part: BuildArgs['parts'][number]) => number): number =>
    args.parts.reduce((all, part) => all + bytes(part), 0);
  const expected = {
    raw: sum(({ content }) => content.length),
    chunks: sum(({ chunks }) => chunks.length / CHUNK_RECORD_BYTES),
  };
  const builder = new PackBuilder(args.sealing, args.id, { ...args, expected });
  for (const part of args.parts) {
    const content = asBuffer(part.content);
    const chunks = asBuffer(part.chunks);
    for (let at = 0, from = 0; at < chunks.length; at += CHUNK_RECORD_BYTES) {
      const length = chunks.readUInt32LE(at + HASH_BYTES);
      builder.add(chunks.subarray(at, at + HASH_BYTES), content.subarray(from, from + length));
      from += length;
    }
  }
  return builder.finish();
}

interface ReadPlace {
  hash: Buffer;
  /** Why it cannot be had, where it does not verify. */
  content: Buffer | HomarusError;
}

function* readPlaces(args: ReadArgs): Generator<ReadPlace> {
  const stored = asBuffer(args.stored);
  const places = asBuffer(args.places);
  const seal = packSeal(args.sealing, args.pack);
  let block: Buffer | HomarusError = stored;
  let last = -1;
  for (let at = 0; at < places.length; at += PLACE_BYTES) {
    const { offset, inner, length, hash, stored: bytes } = decodePlace(places, at);
    if (offset !== last) block = openedBlock(seal, offset, stored.subarray(offset - args.start).subarray(0, bytes));
    last = offset;
    yield { hash, content: Buffer.isBuffer(block) ? verified(args, block, inner, length, hash) : block };
  }
}

function openedBlock(seal: ObjectSeal, offset: number, stored: Buffer): Buffer | HomarusError {
  try {
    return openBlock(seal, offset, stored);
  } catch (error) {
    if (hasCode(error, 'ObjectDamaged')) return error as HomarusError;
    throw error;
  }
}

function verified(
  { sealing, pack }: ReadArgs,
  block: Buffer,
  inner: number,
  length: number,
  hash: Buffer,
): Buffer | HomarusError {
  const content = block.subarray(inner, inner + length);
  if (content.length === length && nameChunk(sealing, content).equals(hash)) return content;
  return damaged(packPlace(pack.id), `chunk ${hash.toString('hex')} is not what was stored`);
}
