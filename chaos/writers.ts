import { closeSync, existsSync, fstatSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Databases that go on writing while they are backed up: on each node one appends numbered records to a file. */

/** Name of the file, in a node's root. The model compares all others with what was there when a backup began. */
export const RECORDS = 'records';
/** Bytes of a record: its number, and a line feed. */
const RECORD = 16;
/** ms between records. */
const PAUSE = 5;

/** Bytes of records, by node. */
export type Lengths = ReadonlyMap<string, number>;

export class Writers {
  readonly #roots: ReadonlyMap<string, string>;

  constructor(nodes: readonly string[], rootOf: (node: string) => string) {
    this.#roots = new Map(nodes.map((node) => [node, rootOf(node)]));
  }

  /** They go on where the files end; answers how much is there, and how to end them. */
  start(): { written: Lengths; stop: () => void } {
    const files = [...this.#roots].map(([node, root]) => {
      const file = openSync(join(root, RECORDS), 'a');
      return { node, file, length: fstatSync(file).size };
    });
    const written = new Map(files.map(({ node, length }) => [node, length]));
    const timer = setInterval(() => {
      for (const one of files) one.length += append(one.file, one.length);
    }, PAUSE);
    const stop = (): void => {
      clearInterval(timer);
      for (const { file } of files) closeSync(file);
    };
    return { written, stop };
  }
}

const recordAt = (place: number): string => `${String(place / RECORD).padStart(RECORD - 1, '0')}\n`;

/** Bytes that came: none while the file system is full. */
function append(file: number, length: number): number {
  try {
    return writeSync(file, recordAt(length));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    return 0;
  }
}

/**
 * What is wrong with the records that a backup brought back: they are the first that were written, all those that were
 * there when it began (`least` bytes), and end where the backup says (`recorded` bytes).
 */
export function wrongRecords(what: string, root: string, least: number, recorded: number): string[] {
  const path = join(root, RECORDS);
  const found = existsSync(path) ? readFileSync(path, 'latin1') : '';
  if (found.length !== recorded)
    return [`${what}: ${found.length} bytes of records came back, ${recorded} were recorded`];
  if (found.length < least) return [`${what}: ${found.length} bytes of records, ${least} were there when it began`];
  for (let place = 0; place < found.length; place += RECORD) {
    const record = found.slice(place, place + RECORD);
    if (record !== recordAt(place)) return [`${what}: at byte ${place} of the records is ${JSON.stringify(record)}`];
  }
  return [];
}
