import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { LOCK_FILE } from './layout.ts';

const BUSY = 5;
/** ms. */
const PATIENCE = 2_000;

/** How M3 was seen to run on the files below `root`, in words; undefined when it was not. */
export async function signOfLife(root: string, endpoint: string): Promise<string | undefined> {
  const lock = join(root, LOCK_FILE);
  if (isLocked(lock)) return `a process holds the lock ${lock}`;
  // Whoever removed its files removed the name of its lock, too.
  return (await listens(endpoint)) ? `something listens at its endpoint ${endpoint}` : undefined;
}

/**
 * Asks the kernel, so that a lock file that a dead process left is none. M3 takes a POSIX lock on the whole file; SQLite
 * takes one of the same kind to read, and is refused. The file is not written to.
 */
export function isLocked(file: string): boolean {
  if (!existsSync(file)) return false;
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    database.prepare('SELECT 1 FROM sqlite_schema').get();
    return false;
  } catch (error) {
    return (error as { errcode?: number }).errcode === BUSY;
  } finally {
    database.close();
  }
}

function listens(endpoint: string): Promise<boolean> {
  const at = endpoint.lastIndexOf(':');
  const host = endpoint.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(endpoint.slice(at + 1)), timeout: PATIENCE });
    const answer = (open: boolean) => () => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', answer(true)).once('error', answer(false)).once('timeout', answer(false));
  });
}
