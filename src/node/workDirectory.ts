import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { HomarusError } from '../domain/errors.ts';
import type { OperationRef } from './settings.ts';
import { rmSync } from './writing.ts';

/** Local files of one attempt: `<stateDir>/work/<epoch>-<operation>`, and links under the same name. */

/** The name of what belongs to an attempt; `BadInput` when the operation's id is no name for a file. */
export function attemptName({ operation, epoch }: OperationRef): string {
  const name = `${epoch}-${operation}`;
  if (!/^[\w.~:+=@-]+$/.test(operation) || name.length > 255) {
    throw new HomarusError('BadInput', `the operation's id "${operation}" cannot stand in the name of a file`);
  }
  return name;
}

/** True for a name that `attemptName` made, of this operation when one is given. */
export function isAttempt(name: string, operation?: string): boolean {
  const match = /^\d+-(.+)$/.exec(name);
  return match !== null && (operation === undefined || match[1] === operation);
}

/** Beside `work`, which a snapshot empties: previews run without a lock. */
export const PREVIEWS = 'previews';

const RESTORE = 'restore-';

/** The name of what a restore needs for its time: plan, and files on their way to their places. */
export const restoreName = (operation: string): string => RESTORE + operation.replace(/[^\w.-]/g, '_');

/** True for a name that `restoreName` made, of this operation when one is given. */
export function isRestore(name: string, operation?: string): boolean {
  return operation === undefined ? name.startsWith(RESTORE) : name === restoreName(operation);
}

export function workDirectory(stateDir: string, attempt: OperationRef): string {
  return join(stateDir, 'work', attemptName(attempt));
}

/** Removes the work directories of all attempts for which `which` is true. */
export function dropWork(stateDir: string, which: (attempt: string) => boolean): void {
  const work = join(stateDir, 'work');
  for (const name of namesIn(work)) {
    if (which(name)) rmSync(join(work, name), { recursive: true, force: true });
  }
}

/** The names in a directory; none when it is missing. */
export function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}
