import type { Stats } from 'node:fs';
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  statSync,
  unlinkSync,
  utimesSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { HomarusError } from '../../domain/errors.ts';
import { DIRECTORIES, HELD } from './layout.ts';

/**
 * The files of one moment. M3 never rests: it moves samples from commit logs to snapshots to data, and removes what it took
 * them from, so a walk that comes by data first and snapshots later meets some of them nowhere. Therefore hard links of all
 * files are put together first, against that current.
 */

const isOurs = (name: string): boolean => name.endsWith('.db');

/** Links all of M3's files below `root` into `HELD`, with their directories' owners, modes and times. Answers how many. */
export async function hold(root: string, signal: AbortSignal): Promise<number> {
  await letGo(root);
  const into = join(root, HELD);
  mkdirSync(into, { mode: 0o700 });
  return holdDirectory(root, into, signal, DIRECTORIES);
}

export async function letGo(root: string): Promise<void> {
  await rm(join(root, HELD), { recursive: true, force: true });
}

/** Of its directories those that are in `only`, in that order; all without it. */
async function holdDirectory(
  from: string,
  into: string,
  signal: AbortSignal,
  only?: readonly string[],
): Promise<number> {
  const stats = statSync(from);
  let { count, directories } = { count: 0, directories: [] as string[] };
  for (let whole = false; !whole; ) {
    // Other work of the process goes on between directories.
    await turn();
    signal.throwIfAborted();
    ({ whole, count, directories } = linkAll(from, into, only));
  }
  for (const name of only?.filter((one) => directories.includes(one)) ?? directories.sort()) {
    const below = join(into, name);
    mkdirSync(below, { mode: 0o700 });
    try {
      count += await holdDirectory(join(from, name), below, signal);
    } catch (error) {
      if (!vanished(error) || exists(join(from, name))) throw error;
      await rm(below, { recursive: true });
    }
  }
  likeness(into, stats);
  return count;
}

/**
 * One pass over a directory's files. Not `whole` when one vanished: what M3 put in its place may not have been listed, so the
 * directory is to be listed again. What is linked and not listed any more is dropped.
 */
function linkAll(
  from: string,
  into: string,
  only: readonly string[] | undefined,
): { whole: boolean; count: number; directories: string[] } {
  const listed = readdirSync(from, { withFileTypes: true });
  const link = listed.find((entry) => entry.isSymbolicLink() && (only?.includes(entry.name) ?? true));
  if (link !== undefined) throw elsewhere(join(from, link.name), into);
  const files = new Set(listed.filter((entry) => entry.isFile() && isOurs(entry.name)).map(({ name }) => name));
  const linked = new Set(readdirSync(into));
  for (const name of linked) if (!files.has(name)) unlinkSync(join(into, name));
  let whole = true;
  for (const name of files) {
    if (linked.has(name)) continue;
    try {
      linkSync(join(from, name), join(into, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EXDEV') throw elsewhere(join(from, name), into, error);
      if (!vanished(error)) throw error;
      whole = false;
    }
  }
  const directories = listed.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  return { whole, count: files.size, directories };
}

/** A restored directory is as the one that the files are from. */
function likeness(directory: string, { mode, uid, gid, atime, mtime }: Stats): void {
  const own = lstatSync(directory);
  if (own.uid !== uid || own.gid !== gid) chownSync(directory, uid, gid);
  chmodSync(directory, mode & 0o7777);
  utimesSync(directory, atime, mtime);
}

function elsewhere(path: string, into: string, cause?: unknown): HomarusError {
  return new HomarusError(
    'DifferentFileSystem',
    `M3: ${path} is a symbolic link or on another file system, so it cannot be linked into ${into}`,
    { cause, hint: "All of M3's files must lie in one file system, in directories below the root of the node." },
  );
}

const vanished = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';
const exists = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;
