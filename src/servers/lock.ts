import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';

const BUSY = 5;

/**
 * Runs `work` while nobody else, in this process or another, holds the lock on `file`.
 * SQLite's lock is the kernel's: a holder's kill -9 frees it, and none is left over to be judged stale.
 */
export async function alone<T>(file: string, onWait: () => void, work: () => Promise<T>): Promise<T> {
  const lock = new DatabaseSync(file);
  try {
    for (let waits = 0; !taken(lock); waits++) {
      if (waits === 0) onWait();
      await delay(200);
    }
    return await work();
  } finally {
    lock.close();
  }
}

function taken(lock: DatabaseSync): boolean {
  try {
    lock.exec('BEGIN EXCLUSIVE');
    return true;
  } catch (error) {
    if ((error as { errcode?: number }).errcode === BUSY) return false;
    throw error;
  }
}
