import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { noSpaceAt } from '../domain/errors.ts';
import { parsed, type Shape } from '../domain/shape.ts';
import { namesIn } from './workDirectory.ts';
import { mkdirSync, openSync, renameSync, rmSync, writeFileSync } from './writing.ts';

/**
 * Small JSON files of a state directory: whole or not there, whatever is killed; each has one writer at a time. `NoSpace`
 * names the one that found none.
 */

/** Undefined where there is none, and where it is not of this shape: then nothing is known, and it is written anew. */
export function readState<T>(path: string, shape: Shape): T | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  // Renamed into place only when whole: what does not fit was damaged from outside.
  return parsed<T>(text, shape);
}

export function writeState(path: string, state: unknown): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  dropAsides(path);
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const file = openSync(aside, 'wx', 0o600);
    try {
      writeFileSync(file, `${JSON.stringify(state)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(aside, path);
  } catch (error) {
    rmSync(aside, { force: true });
    throw noSpaceAt(path, error) ?? error;
  }
}

/** What killed writers left. */
function dropAsides(path: string): void {
  const own = basename(path);
  for (const name of namesIn(dirname(path))) {
    if (name.startsWith(own) && /^\.[0-9a-f]{12}$/.test(name.slice(own.length))) rmSync(join(dirname(path), name));
  }
}
