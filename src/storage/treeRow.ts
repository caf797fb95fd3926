import { HomarusError } from '../domain/errors.ts';

/** Rows of trees: docs/format.md, section 4. Paths are strings with one character per byte. */

export type RowType = 'file' | 'directory' | 'symlink' | 'hardlink';

export interface Row {
  path: string;
  type: RowType;
  /** Bytes; 0 for what is not a file. */
  size: number;
  /** Nanoseconds since 1970. */
  mtime: bigint;
  mode: number;
  uid: number;
  gid: number;
  /** Of a symbolic link what it says, of a hard link the path of the row that has the content. */
  target?: string;
  /** Of a small file. */
  content?: Buffer;
  /** 36 bytes each: hash and length. */
  chunks?: Buffer;
  sparse?: boolean;
  /** From 1: the row only goes on with the chunks of the row before it. */
  run?: number;
  /** Only in the state that a node retains. */
  inode?: bigint;
  /** Fields of a newer version, as they were read. */
  unknown?: Buffer;
}

export const CHUNK_BYTES = 36;
/** Their place is their number in a row. */
export const rowTypes: readonly RowType[] = ['file', 'directory', 'symlink', 'hardlink'];

/** Field numbers and wire types of a row. */
export const fields = {
  shared: 1,
  rest: 2,
  type: 3,
  size: 4,
  mtime: 5,
  mode: 6,
  uid: 7,
  gid: 8,
  target: 9,
  content: 10,
  chunks: 11,
  sparse: 12,
  run: 13,
  inode: 20,
} as const;
export const VARINT = 0;
export const BYTES = 2;

const SLASH = 0x2f;
const DOT = 0x2e;

/** Orders paths as trees do: component by component, as bytes. */
export function comparePaths(a: string, b: string): number {
  const shared = sharedPrefix(a, b);
  if (shared === a.length || shared === b.length) return a.length - b.length;
  const left = a.charCodeAt(shared);
  const right = b.charCodeAt(shared);
  // A component that ends sorts before one that goes on.
  if (left === SLASH) return -1;
  if (right === SLASH) return 1;
  return left - right;
}

/** How many bytes both begin with. */
export function sharedPrefix(a: string, b: string): number {
  const most = Math.min(a.length, b.length);
  let at = 0;
  while (at < most && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  return at;
}

/** `UnsafePath` unless it stays below the root whatever is there. `where` is for the message. */
export function checkPath(path: string, where = 'the tree'): void {
  if (path === '') return;
  let start = 0;
  for (let at = 0; at <= path.length; at++) {
    const char = at === path.length ? SLASH : path.charCodeAt(at);
    if (char !== SLASH && char !== 0) continue;
    const length = at - start;
    const dots = length > 0 && length <= 2 && path.charCodeAt(start) === DOT && path.charCodeAt(at - 1) === DOT;
    if (char === 0 || length === 0 || dots) {
      throw new HomarusError('UnsafePath', `${where} names ${JSON.stringify(path)}, which is no path below its root`);
    }
    start = at + 1;
  }
}
