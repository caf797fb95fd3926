import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Measured } from './measure.ts';
import { measure } from './measure.ts';

/** What the machine can do at best, measured beside the tools. */

const script = (name: string): string => new URL(`floors/${name}.ts`, import.meta.url).pathname;

/** `lstat` of every file. */
export const walkFloor = (room: string, data: string): Promise<Measured> =>
  measure({ program: process.execPath, args: [script('walk'), data], log: join(room, 'floors.log') });

/** Large files: copied, hashed and synced. */
export const copyAndHashFloor = (room: string, data: string): Promise<Measured> =>
  into(room, (target) =>
    measure({ program: process.execPath, args: [script('copyAndHash'), data, target], log: join(room, 'floors.log') }),
  );

/** `cp -a` and a sync of the file system. */
export const copyFloor = (room: string, data: string): Promise<Measured> =>
  into(room, (target) =>
    measure({
      program: 'sh',
      args: ['-c', 'cp -a "$1/." "$2/" && sync -f "$2"', 'sh', data, target],
      log: join(room, 'floors.log'),
    }),
  );

async function into(room: string, work: (target: string) => Promise<Measured>): Promise<Measured> {
  const target = join(room, 'floor');
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  try {
    return await work(target);
  } finally {
    rmSync(target, { recursive: true, force: true });
  }
}
