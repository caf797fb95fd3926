/**
 * Names are bytes. A byte path is a string with one char for each byte (latin1), components joined by `/`; below a root it
 * is relative, the root itself is empty.
 */
export type BytePath = string;

export const toBytePath = (path: string): BytePath => Buffer.from(path, 'utf8').toString('latin1');

/** What file calls take: `path` below `base`. */
export const fileAt = (base: BytePath, path: BytePath): Buffer =>
  Buffer.from(path === '' ? base : `${base}/${path}`, 'latin1');

export const parentOf = (path: BytePath): BytePath => path.slice(0, Math.max(path.lastIndexOf('/'), 0));

export const isBelow = (path: BytePath, directory: BytePath): boolean =>
  directory === '' ? path !== '' : path.startsWith(directory) && path[directory.length] === '/';

/** For messages: as people know it where it is UTF-8, and on one line. */
export function shown(path: BytePath): string {
  const text = Buffer.from(path, 'latin1').toString('utf8');
  return JSON.stringify(text).slice(1, -1);
}
