import { formatBytes } from '../domain/text.ts';
import { shown } from '../node/bytePath.ts';
import type { Row, RowType } from '../storage/tree.ts';

/** How entries of a backup are shown. */

/** Paths are bytes: what is no UTF-8 comes in base64, too. */
export function entryOf({ path, type, size, mtime, mode, uid, gid, target }: Row): object {
  return {
    ...textOf('path', path),
    type,
    size,
    mtime: timeOf(mtime),
    mode,
    uid,
    gid,
    ...(target === undefined ? {} : textOf('target', target)),
  };
}

function textOf(name: string, bytes: string): Record<string, string> {
  const buffer = Buffer.from(bytes, 'latin1');
  const text = buffer.toString('utf8');
  return Buffer.from(text).equals(buffer)
    ? { [name]: text }
    : { [name]: text, [`${name}Base64`]: buffer.toString('base64') };
}

const letters: Record<RowType, string> = { file: '-', directory: 'd', symlink: 'l', hardlink: 'h' };

export function lineOf(where: string, row: Row): string {
  const size = row.type === 'file' ? formatBytes(row.size) : '';
  const target = row.target === undefined ? '' : ` -> ${shown(row.target)}`;
  return `${where}  ${letters[row.type]}${rights(row.mode)}  ${size.padStart(10)}  ${timeOf(row.mtime)}  ${shown(row.path)}${target}`;
}

const rights = (mode: number): string =>
  [...'rwxrwxrwx'].map((letter, place) => (mode & (0o400 >> place) ? letter : '-')).join('');

/** Nanoseconds since 1970, as UTC to the second. */
const timeOf = (mtime: bigint): string => new Date(Number(mtime / 1_000_000n)).toISOString().replace(/\.\d+Z$/, 'Z');
