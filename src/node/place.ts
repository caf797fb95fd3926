import type { BigIntStats } from 'node:fs';
import { closeSync, constants, lstatSync } from 'node:fs';
import { HomarusError, isErrorCode, noSpaceAt } from '../domain/errors.ts';
import type { Row } from '../storage/tree.ts';
import type { BytePath } from './bytePath.ts';
import { fileAt, parentOf, shown } from './bytePath.ts';
import {
  chmodSync,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from './writing.ts';

/**
 * The file calls of a restore. Everything is written beside, in `temporary`, and renamed; a symbolic link that somebody
 * put in the way is replaced, never followed.
 */

/** Where a root is restored to: absolute paths on one file system. */
export interface Target {
  readonly root: BytePath;
  readonly temporary: BytePath;
}

export type Attributes = Pick<Row, 'mode' | 'uid' | 'gid' | 'mtime'>;

const { O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;
const HOLE_BYTES = 4096;
const ZEROS = Buffer.alloc(HOLE_BYTES);
const privileged = process.getuid?.() === 0;

/** What Node can set and what is compared: whole microseconds, rounded down. */
export function microseconds(nanoseconds: bigint): bigint {
  const rest = nanoseconds % 1000n;
  return (nanoseconds - (rest < 0n ? rest + 1000n : rest)) / 1000n;
}

/** True when mode, mtime and, where we may set it, owner are those of the row. */
export function hasAttributes(stat: BigIntStats, row: Attributes): boolean {
  return (
    (Number(stat.mode) & 0o7777) === row.mode &&
    microseconds(stat.mtimeNs) === microseconds(row.mtime) &&
    (!privileged || (Number(stat.uid) === row.uid && Number(stat.gid) === row.gid))
  );
}

export function lstatOf(path: Buffer): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

/** Checks that all directories above a path are real ones; remembers the last, since neighbours come together. */
export class Parents {
  readonly #root: BytePath;
  #checked: BytePath = '';

  constructor(root: BytePath) {
    this.#root = root;
  }

  check(path: BytePath): void {
    const parent = parentOf(path);
    if (parent === this.#checked || parent === '') return;
    for (let end = parent.indexOf('/'); ; end = parent.indexOf('/', end + 1)) {
      const directory = end < 0 ? parent : parent.slice(0, end);
      if (!lstatOf(fileAt(this.#root, directory))?.isDirectory()) {
        throw new HomarusError(
          'UnsafePath',
          `${shown(`${this.#root}/${directory}`)} was exchanged during the restore and is no directory; ` +
            `${shown(path)} was not written`,
        );
      }
      if (end < 0) break;
    }
    this.#checked = parent;
  }
}

/** A temporary file of `target`, open for writing at any place. */
export function openTemporary(target: Target, name: string): number {
  return openSync(fileAt(target.temporary, name), O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
}

/** Writes a part of a temporary file, which is left open. With `sparse` runs of zeros become holes. */
export function writeTemporary(target: Target, name: string, content: Buffer, offset: number, sparse: boolean): number {
  const file = openTemporary(target, name);
  try {
    writeAt(file, content, offset, sparse);
    return file;
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

function writeAt(file: number, content: Buffer, offset: number, sparse: boolean): void {
  if (!sparse) {
    writeFully(file, content, offset);
    return;
  }
  let data = 0;
  for (let at = 0; at < content.length; ) {
    const end = Math.min(at + HOLE_BYTES - ((offset + at) % HOLE_BYTES), content.length);
    if (content.compare(ZEROS, 0, end - at, at, end) === 0) {
      writeFully(file, content.subarray(data, at), offset + data);
      data = end;
    }
    at = end;
  }
  writeFully(file, content.subarray(data), offset + data);
}

function writeFully(file: number, content: Buffer, offset: number): void {
  for (let done = 0; done < content.length; ) {
    done += writeSync(file, content, done, content.length - done, offset + done);
  }
}

/** Gives a complete temporary file its length and attributes, closes it and puts it in its place. */
export function finishFile(
  target: Target,
  parents: Parents,
  file: number,
  name: string,
  row: Attributes & Pick<Row, 'path' | 'size' | 'sparse'>,
): void {
  try {
    if (row.sparse) ftruncateSync(file, row.size);
    setAttributes(file, row);
  } finally {
    closeSync(file);
  }
  parents.check(row.path);
  renameSync(fileAt(target.temporary, name), fileAt(target.root, row.path));
}

/** Mends the attributes of a file or directory that stays. */
export function mend(root: BytePath, row: Attributes & Pick<Row, 'path' | 'type'>, parents: Parents): void {
  parents.check(row.path);
  const path = fileAt(root, row.path);
  const found = lstatOf(path);
  if (found === undefined || found.isSymbolicLink()) throw exchanged(root, row.path);
  if (hasAttributes(found, row)) return;
  if (!privileged && (Number(found.mode) & 0o400) === 0) chmodSync(path, (Number(found.mode) & 0o7777) | 0o400);
  // A directory that is not the root must not be a link; the root may be configured as one.
  const follow = row.path === '' ? 0 : O_NOFOLLOW;
  const file = openSync(path, O_RDONLY | O_NONBLOCK | follow | (row.type === 'directory' ? O_DIRECTORY : 0));
  try {
    setAttributes(file, row);
  } finally {
    closeSync(file);
  }
}

/** Makes a real directory, with rights enough to work in it. True when there was none, or not with such rights. */
export function makeDirectory(root: BytePath, path: BytePath, parents: Parents): boolean {
  parents.check(path);
  const place = fileAt(root, path);
  const found = path === '' ? undefined : lstatOf(place);
  if (found?.isDirectory()) return openUp(place, found);
  if (found) unlinkSync(place);
  mkdirSync(place, { mode: 0o700, recursive: path === '' });
  return true;
}

/** Lets us work in a directory that is ours but closed. True when it was. */
export function openUp(place: Buffer, found: BigIntStats): boolean {
  const mode = Number(found.mode) & 0o7777;
  if (privileged || (mode & 0o700) === 0o700) return false;
  chmodSync(place, mode | 0o700);
  return true;
}

export function placeSymlink(target: Target, row: Row, name: string, parents: Parents): void {
  parents.check(row.path);
  const temporary = fileAt(target.temporary, name);
  symlinkSync(Buffer.from(row.target ?? '', 'latin1'), temporary);
  if (privileged) lchownSync(temporary, row.uid, row.gid);
  const time = seconds(row.mtime);
  lutimesSync(temporary, time, time);
  renameSync(temporary, fileAt(target.root, row.path));
}

export function placeHardLink(target: Target, path: BytePath, content: BytePath, name: string, parents: Parents): void {
  for (const each of [content, path]) parents.check(each);
  const source = fileAt(target.root, content);
  const place = fileAt(target.root, path);
  const [from, there] = [lstatOf(source), lstatOf(place)];
  if (!from?.isFile()) throw exchanged(target.root, content);
  if (there && there.ino === from.ino && there.dev === from.dev) return;
  const temporary = fileAt(target.temporary, name);
  linkSync(source, temporary);
  renameSync(temporary, place);
}

/** The error of a file call, as people read it: what was written where, and what is in the way. */
export function writeFailure(error: unknown, root: BytePath, path: BytePath): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? '';
  const place = shown(path === '' ? root : `${root}/${path}`);
  if (isErrorCode(code)) return error;
  const full = noSpaceAt(shown(root), { code });
  if (full !== undefined) {
    return new HomarusError('NoSpace', `${full.message}: ${place} was not written, what was there stays`);
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new HomarusError('FileUnwritable', `${place} could not be written: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return error;
}

function setAttributes(file: number, row: Attributes): void {
  // In this order: a change of owner clears the set-user-id bits.
  if (privileged) fchownSync(file, row.uid, row.gid);
  fchmodSync(file, row.mode);
  const time = seconds(row.mtime);
  futimesSync(file, time, time);
}

/**
 * For the calls that take seconds as a double, which near today has steps of a quarter of a microsecond: half a
 * microsecond more falls into the right one. A string, since Node takes a negative number for "now".
 */
export function seconds(nanoseconds: bigint): number | string {
  const micro = microseconds(nanoseconds);
  const exact = micro % 1_000_000n === 0n;
  const time = (Number(micro) + (exact ? 0 : 0.5)) / 1_000_000;
  return time < 0 ? String(time) : time;
}

function exchanged(root: BytePath, path: BytePath): HomarusError {
  return new HomarusError(
    'UnsafePath',
    `${shown(`${root}/${path}`)} was exchanged while it was restored; nothing was written for it`,
  );
}
