import { closeSync } from 'node:fs';
import { HomarusError } from '../domain/errors.ts';
import { asBuffer, HASH_BYTES } from '../storage/hash.ts';
import { release } from '../storage/memory.ts';
import type { PackRef } from '../storage/pack.ts';
import { PackBuilder } from '../storage/pack.ts';
import type { Sealing } from '../storage/sealing.ts';
import { nameChunk } from '../storage/sealing.ts';
import { shown } from './bytePath.ts';
import { openForReading, readAt } from './hashTask.ts';
import type { Source } from './sources.ts';
import { SourceReader } from './sources.ts';

/** A chunk to be packed: source:u32 offset:u64 (big-endian, the key) hash:32 length:u32 (little-endian). */
export const TO_PACK_BYTES = 48;
export const TO_PACK_KEY_BYTES = 12;

export function encodeToPack(source: number, offset: bigint, hash: Buffer, length: number): Buffer {
  const record = Buffer.allocUnsafe(TO_PACK_BYTES);
  record.writeUInt32BE(source, 0);
  record.writeBigUInt64BE(offset, 4);
  hash.copy(record, 12, 0, HASH_BYTES);
  record.writeUInt32LE(length, 44);
  return record;
}

export const sourceOf = (toPack: Buffer): number => toPack.readUInt32BE(0);
export const lengthOf = (toPack: Buffer): number => toPack.readUInt32LE(44);

export interface PackArgs {
  node: string;
  sealing: Sealing;
  id: string;
  /** Bytes of a block of small chunks. */
  block: number;
  level: number;
  /** Content of all chunks, bytes. */
  raw: number;
  /** What `encodeToPack` made, sorted. */
  chunks: Uint8Array;
  /** Of the attempt: its snapshot says where each source is. */
  workDirectory: string;
  /** Memory for the body, if there is some to be used again. */
  room?: ArrayBuffer | undefined;
}

export interface BuiltPack {
  pack: PackRef;
  /** In memory that may be larger. */
  body: Uint8Array<ArrayBuffer>;
  entries: Uint8Array<ArrayBuffer>;
}

/**
 * Builds a pack from files, reading each chunk once and hashing it again: a file that was changed in place since its
 * snapshot is `FileChanged`, and never stored as a mixture.
 */
export function buildPack(args: PackArgs): BuiltPack {
  const chunks = asBuffer(args.chunks);
  const expected = { raw: args.raw, chunks: chunks.length / TO_PACK_BYTES };
  const builder = new PackBuilder(args.sealing, args.id, { ...args, expected });
  const sources = new SourceReader(args.workDirectory);
  let opened: { number: number; source: Source; file: number } | undefined;
  try {
    for (let at = 0; at < chunks.length; at += TO_PACK_BYTES) {
      const toPack = chunks.subarray(at, at + TO_PACK_BYTES);
      const hash = toPack.subarray(12, 12 + HASH_BYTES);
      const length = lengthOf(toPack);
      const number = sourceOf(toPack);
      if (opened?.number !== number) {
        if (opened) closeSync(opened.file);
        opened = undefined;
        const source = sources.at(number);
        opened = { number, source, file: openSource(args.node, source) };
      }
      const content = readAt(opened.file, Number(toPack.readBigUInt64BE(4)), length);
      if (content.length < length || !nameChunk(args.sealing, content).equals(hash))
        throw changed(args.node, opened.source);
      builder.add(hash, content);
    }
  } finally {
    if (opened) closeSync(opened.file);
    sources.close();
  }
  const built = builder.finish();
  const entries = movable(built.entries);
  if (entries.buffer !== built.entries.buffer) release(built.entries);
  release(chunks);
  return { pack: built.pack, body: built.body, entries };
}

function openSource(node: string, source: Source): number {
  try {
    return openForReading(source.file);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ELOOP') throw changed(node, source, cause);
    throw new HomarusError('FileUnreadable', `${named(node, source)} cannot be read: ${message}`, { cause });
  }
}

/** Memory of its own, so that it can change threads without being copied. */
export function movable(bytes: Buffer): Uint8Array<ArrayBuffer> {
  const whole = bytes.buffer.byteLength === bytes.length && bytes.buffer instanceof ArrayBuffer;
  return whole ? (bytes as Buffer<ArrayBuffer>) : Uint8Array.from(bytes);
}

function changed(node: string, source: Source, cause?: unknown): HomarusError {
  return new HomarusError(
    'FileChanged',
    `${named(node, source)} was changed in place between its snapshot and its upload`,
    cause === undefined ? {} : { cause },
  );
}

const named = (node: string, source: Source): string => `node ${node}, root ${source.root}: file ${shown(source.path)}`;
