import { statfsSync } from 'node:fs';
import { HomarusError } from '../domain/errors.ts';
import type { SpaceForecast } from '../domain/results.ts';

/** What will be written to the file system of `path`, in bytes, and what will be given free there before. */
export interface SpaceNeed {
  path: string;
  /** Device of `path`: roots on one file system share its space. */
  device: bigint;
  needed: number;
  freed: number;
}

/** Bytes that we may still write to the file system of `path`. */
export function freeBytes(path: string): number {
  const { bavail, bfree, bsize } = statfsSync(path);
  return (process.getuid?.() === 0 ? bfree : bavail) * bsize;
}

/** What each file system has and needs. What cannot be known (holes, compression) is not guessed. */
export function spaceOf(needs: readonly SpaceNeed[], free: (path: string) => number = freeBytes): SpaceForecast[] {
  return [...Map.groupBy(needs, ({ device }) => device).values()].map((group) => {
    const { path } = group[0] as SpaceNeed;
    const sum = (what: 'needed' | 'freed'): number => group.reduce((all, need) => all + need[what], 0);
    return { path, needed: sum('needed'), freed: sum('freed'), available: free(path) };
  });
}

/** `NoSpace` where it is certain that it would run full. */
export function checkSpace(needs: readonly SpaceNeed[], free: (path: string) => number = freeBytes): void {
  for (const { path, needed, freed, available } of spaceOf(needs, free)) {
    if (isTooSmall({ needed, freed, available })) {
      const given = freed > 0 ? ` and ${inBytes(freed)} that will be removed` : '';
      throw new HomarusError(
        'NoSpace',
        `the file system of ${path} is too small: ${inBytes(needed)} are to be written, ${inBytes(available)} are free${given}; ` +
          'nothing was changed',
      );
    }
  }
}

export const isTooSmall = ({ needed, freed, available }: Omit<SpaceForecast, 'path'>): boolean =>
  needed - freed > available;

/** `1,234 bytes`, with the unit that a person looks for. */
export function inBytes(bytes: number): string {
  const exact = `${bytes.toLocaleString('en-US')} bytes`;
  if (bytes < 1024 ** 2) return exact;
  const [unit, size] = bytes < 1024 ** 3 ? ['MiB', 1024 ** 2] : ['GiB', 1024 ** 3];
  return `${(bytes / size).toFixed(1)} ${unit} (${exact})`;
}
