import { closeSync, fsyncSync, readSync } from 'node:fs';
import { dirname } from 'node:path';
import { packRef } from '../domain/documentShapes.ts';
import { count, parsed, record } from '../domain/shape.ts';
import type { PackRef } from '../storage/chunkIndex.ts';
import { blake3 } from '../storage/hash.ts';
import { release } from '../storage/memory.ts';
import { ftruncateSync, openSync, writeSync } from './writing.ts';

const HEAD_BYTES = 16;
const CHECK_BYTES = 8;

/** A pack that the storage has, with its index entries (pack 0, in the order of the pack). */
export interface StoredPack {
  ref: PackRef;
  /** Content before compression, bytes. */
  raw: number;
  entries: Buffer;
}

const headState = record({ ref: packRef, raw: count });

/**
 * What this attempt has uploaded, so that a worker that comes back sends nothing twice. Appended and synced after the
 * storage said that it has the pack; what a crash cut off at the end is not believed.
 *
 * Record: headLength:u32 entriesLength:u32 check:8 head(JSON) entries, where check is of what follows it.
 */
export class UploadJournal {
  readonly #file: number;
  #end: number;

  constructor(path: string) {
    this.#file = openSync(path, 'a+', 0o600);
    this.#end = 0;
    for (const { end } of this.#records()) this.#end = end;
    ftruncateSync(this.#file, this.#end);
    syncDirectory(path);
  }

  append(pack: StoredPack): void {
    const head = Buffer.from(JSON.stringify({ ref: pack.ref, raw: pack.raw }));
    const frame = Buffer.alloc(HEAD_BYTES);
    frame.writeUInt32LE(head.length, 0);
    frame.writeUInt32LE(pack.entries.length, 4);
    blake3.hash([head, pack.entries]).copy(frame, 8, 0, CHECK_BYTES);
    const record = Buffer.concat([frame, head, pack.entries]);
    for (let done = 0; done < record.length; ) done += writeSync(this.#file, record, done);
    fsyncSync(this.#file);
    this.#end += record.length;
    release(record);
  }

  *packs(): Generator<StoredPack> {
    for (const { pack } of this.#records(this.#end)) yield pack;
  }

  close(): void {
    closeSync(this.#file);
  }

  *#records(end = Number.POSITIVE_INFINITY): Generator<{ pack: StoredPack; end: number }> {
    for (let at = 0; at < end; ) {
      const frame = this.#read(at, HEAD_BYTES);
      if (frame === undefined) return;
      const headLength = frame.readUInt32LE(0);
      const length = headLength + frame.readUInt32LE(4);
      const body = this.#read(at + HEAD_BYTES, length);
      if (body === undefined || blake3.hash([body]).compare(frame, 8, HEAD_BYTES, 0, CHECK_BYTES) !== 0) return;
      const head = parsed<Omit<StoredPack, 'entries'>>(body.toString('utf8', 0, headLength), headState);
      if (head === undefined) return;
      at += HEAD_BYTES + length;
      yield { pack: { ...head, entries: body.subarray(headLength) }, end: at };
    }
  }

  /** Undefined where the file ends before. */
  #read(start: number, length: number): Buffer | undefined {
    // A torn head may claim anything: no memory is taken for what the file does not have.
    const parts: Buffer[] = [];
    for (let done = 0; done < length; ) {
      const part = Buffer.allocUnsafe(Math.min(length - done, 1024 * 1024));
      const read = readSync(this.#file, part, 0, part.length, start + done);
      if (read === 0) return undefined;
      parts.push(part.subarray(0, read));
      done += read;
    }
    return parts.length === 1 ? parts[0] : Buffer.concat(parts);
  }
}

function syncDirectory(path: string): void {
  const directory = openSync(dirname(path), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
