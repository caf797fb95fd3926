import type { BigIntStats } from 'node:fs';
import { lstatSync, opendirSync, readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { HomarusError } from '../domain/errors.ts';
import { RecordSorter } from '../storage/records.ts';
import type { BytePath } from './bytePath.ts';
import { fileAt, toBytePath } from './bytePath.ts';
import type { LeftOut } from './leftOut.ts';
import type { DataRoot } from './settings.ts';

/** What is backed up; paths are relative to the root. */
export interface Selection {
  /** Anything that is no directory. */
  file(path: BytePath): boolean;
  /** Whether it, or anything below it, may be selected. */
  directory(path: BytePath): boolean;
}

export interface WalkOptions {
  root: DataRoot;
  selection: Selection;
  /** Directories of ours inside the root, relative to it (`ownPaths`). */
  own: ReadonlySet<BytePath>;
  leftOut: LeftOut;
  throwIfStopped(): void;
  /** For listings of huge directories, which are sorted on disk. */
  spoolDirectory: string;
  /** A directory is huge when its own size is larger, bytes. */
  huge?: number;
}

export interface Found {
  path: BytePath;
  type: 'file' | 'directory' | 'symlink';
  stats: BigIntStats;
}

/** About 100,000 names on most file systems. */
const HUGE_BYTES = 4 * 1024 * 1024;
const NAME_BYTES = 255;

/** Where we keep links and state ourselves: neither walked nor restored over. Relative to the root. */
export function ownPaths(root: DataRoot, stateDir: string): Set<BytePath> {
  const inside = [root.linkDir, stateDir]
    .map((directory) => relative(root.path, directory))
    .filter((path) => path !== '' && path !== '..' && !path.startsWith('../'));
  return new Set(inside.map(toBytePath));
}

/**
 * All that is selected in a root, in the order of a tree's rows: the root itself, then each directory before what is in it,
 * names sorted as bytes. Links are not followed. What vanishes meanwhile, cannot be read or is no file is left out.
 */
export function* walk(options: WalkOptions): Generator<Found> {
  const { selection, own, leftOut } = options;
  const base = toBytePath(options.root.path);
  const top = rootStats(options);
  const levels: { path: BytePath; names: Iterator<string> }[] = [];
  const enter = (path: BytePath, stats: BigIntStats): boolean => {
    try {
      levels.push({ path, names: namesIn(fileAt(base, path), stats, options) });
      return true;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === undefined) throw error;
      if (path === '') throw rootUnreadable(options, message, error);
      if (code === 'ENOENT' || code === 'ENOTDIR') {
        leftOut.vanished(path);
        return false;
      }
      leftOut.unreadable(path, message);
      return true;
    }
  };
  try {
    enter('', top);
    yield { path: '', type: 'directory', stats: top };
    for (let level = levels.at(-1); level; level = levels.at(-1)) {
      options.throwIfStopped();
      const next = level.names.next();
      if (next.done) {
        levels.pop();
        continue;
      }
      const path = level.path === '' ? next.value : `${level.path}/${next.value}`;
      if (own.has(path)) continue;
      const stats = look(fileAt(base, path), path, leftOut);
      if (!stats) continue;
      if (stats.isDirectory()) {
        if (selection.directory(path) && enter(path, stats)) yield { path, type: 'directory', stats };
      } else if (selection.file(path)) {
        if (stats.isFile()) yield { path, type: 'file', stats };
        else if (stats.isSymbolicLink()) yield { path, type: 'symlink', stats };
        else leftOut.special(path);
      }
    }
  } finally {
    for (const { names } of levels) names.return?.();
  }
}

function rootStats(options: WalkOptions): BigIntStats {
  let stats: BigIntStats;
  try {
    stats = statSync(options.root.path, { bigint: true });
  } catch (cause) {
    throw rootUnreadable(options, (cause as Error).message, cause);
  }
  if (!stats.isDirectory()) throw rootUnreadable(options, 'it is not a directory');
  return stats;
}

/** An empty backup of a root that is not there would be the worst of lies: it is never skipped. */
function rootUnreadable({ root, leftOut }: WalkOptions, why: string, cause?: unknown): HomarusError {
  return new HomarusError('FileUnreadable', `${leftOut.file('')}: ${root.path} cannot be read: ${why}`, { cause });
}

/** Stats of what is there, itself and not what it leads to; undefined when it is left out. */
export function look(file: Buffer, path: BytePath, leftOut: LeftOut): BigIntStats | undefined {
  try {
    const stats = lstatSync(file, { bigint: true, throwIfNoEntry: false });
    if (!stats) leftOut.vanished(path);
    return stats;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    leftOut.unreadable(path, message);
    return undefined;
  }
}

function namesIn(directory: Buffer, stats: BigIntStats, options: WalkOptions): Iterator<string> {
  // Latin1 gives one char for each byte, so that the order of strings is that of the bytes.
  if (stats.size <= (options.huge ?? HUGE_BYTES)) return readdirSync(directory, { encoding: 'latin1' }).sort().values();
  return sortedOnDisk(directory, options);
}

/** The names of a directory that has too many for an array: read at once, sorted on disk. */
function sortedOnDisk(directory: Buffer, { spoolDirectory, throwIfStopped }: WalkOptions): Iterator<string> {
  const record = Buffer.alloc(NAME_BYTES);
  const sorter = new RecordSorter({
    directory: join(spoolDirectory, `names-${sorters++}`),
    recordBytes: NAME_BYTES,
    keyBytes: NAME_BYTES,
    memoryBytes: 16 * 1024 * 1024,
  });
  try {
    const open = opendirSync(directory, { encoding: 'latin1', bufferSize: 1024 });
    try {
      for (let entry = open.readSync(); entry; entry = open.readSync()) {
        throwIfStopped();
        // No name holds a zero byte, so the filling sorts before anything and is found again.
        record.fill(0, record.write(entry.name, 'latin1'));
        sorter.add(record);
      }
    } finally {
      open.closeSync();
    }
  } catch (error) {
    sorter.close();
    throw error;
  }
  return namesOf(sorter);
}

function* namesOf(sorter: RecordSorter): Generator<string> {
  try {
    for (const batch of sorter.sorted()) {
      for (let at = 0; at < batch.length; at += NAME_BYTES) {
        const end = batch.indexOf(0, at);
        yield batch.toString('latin1', at, end === -1 ? at + NAME_BYTES : Math.min(end, at + NAME_BYTES));
      }
    }
  } finally {
    sorter.close();
  }
}

let sorters = 0;
