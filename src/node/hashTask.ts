import type { BigIntStats } from 'node:fs';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { HASH_BYTES } from '../storage/hash.ts';
import type { Sealing } from '../storage/sealing.ts';
import { nameChunk } from '../storage/sealing.ts';
import type { BytePath } from './bytePath.ts';
import type { TaskContext } from './tasks.ts';

/** A file as it was recorded: what is read must still be it. */
export interface RecordedFile {
  /** Absolute. */
  file: BytePath;
  size: number;
  /** ns. */
  mtime: bigint;
  inode: bigint;
}

/** A run of chunks of one file. */
export interface HashRange extends RecordedFile {
  offset: number;
  lengths: number[];
}

export interface HashArgs {
  sealing: Sealing;
  ranges: HashRange[];
}

/** Why a file's content is not to be had. */
export type Unread = { why: 'changed' } | { why: 'vanished' } | { why: 'unreadable'; reason: string };

export interface HashResult {
  /** One after another, in the order of the ranges and of their chunks; nonsense where a range failed. */
  hashes: Uint8Array<ArrayBuffer>;
  failed: { range: number; unread: Unread }[];
}

/** Hashes ranges of files, up to the sizes that were recorded. */
export function hashRanges({ sealing, ranges }: HashArgs, { throwIfStopped }: TaskContext): HashResult {
  const count = ranges.reduce((sum, { lengths }) => sum + lengths.length, 0);
  const hashes = new Uint8Array(count * HASH_BYTES);
  const failed: HashResult['failed'] = [];
  let at = 0;
  for (const [place, range] of ranges.entries()) {
    throwIfStopped();
    let offset = range.offset;
    const unread = readRecorded(range, (file) => {
      for (const [chunk, length] of range.lengths.entries()) {
        const content = readAt(file, offset, length);
        if (content.length < length) return { why: 'changed' };
        hashes.set(nameChunk(sealing, content), at + chunk * HASH_BYTES);
        offset += length;
      }
      return undefined;
    });
    if (unread) failed.push({ range: place, unread });
    at += range.lengths.length * HASH_BYTES;
  }
  return { hashes, failed };
}

/**
 * Opens a file, lets `read` read it, and looks whether it was changed in place meanwhile: it may have grown, it may not
 * have been written anew. Answers why it is not to be had.
 */
export function readRecorded(recorded: RecordedFile, read: (file: number) => Unread | undefined): Unread | undefined {
  let file: number | undefined;
  try {
    file = openForReading(recorded.file);
    const unread = read(file);
    if (unread) return unread;
    return isStill(recorded, fstatSync(file, { bigint: true })) ? undefined : { why: 'changed' };
  } catch (error) {
    return whyUnread(error);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function isStill({ inode, size, mtime }: RecordedFile, now: BigIntStats): boolean {
  if (now.ino !== inode || Number(now.size) < size) return false;
  return Number(now.size) > size || now.mtimeNs === mtime;
}

/** Never waits for a FIFO and never follows a link that somebody put there. */
export function openForReading(path: BytePath): number {
  return openSync(Buffer.from(path, 'latin1'), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
}

export function whyUnread(error: unknown): Unread {
  const { code, message } = error as NodeJS.ErrnoException;
  // Without a code it is no file's fault.
  if (code === undefined) throw error;
  if (code === 'ENOENT' || code === 'ENOTDIR') return { why: 'vanished' };
  return code === 'ELOOP' ? { why: 'changed' } : { why: 'unreadable', reason: message };
}

let scratch = Buffer.alloc(0);

/** `length` bytes from `offset`, fewer where the file ends; valid until the next call. */
export function readAt(file: number, offset: number, length: number): Buffer {
  if (scratch.length < length) scratch = Buffer.allocUnsafeSlow(length);
  let done = 0;
  while (done < length) {
    const read = readSync(file, scratch, done, length - done, offset + done);
    if (read === 0) break;
    done += read;
  }
  return scratch.subarray(0, done);
}
