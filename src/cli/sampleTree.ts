import { createHash } from 'node:crypto';
import {
  appendFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/** Directories that look like those of a database, made from a seed, for the demo. */

/** https://prng.di.unimi.it/splitmix64.c, cut to 32 bits: the same seed makes the same files everywhere. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
}

export interface SampleOptions {
  seed: number;
  files: number;
  /** What all nodes of the cluster have alike, as a share of the files. */
  sharedSeed?: number;
}

const SEGMENTS_PER_TABLE = 40;

/** Tables of segment files, logs, a configuration, a link to the present log. */
export function makeSampleTree(root: string, { seed, files, sharedSeed }: SampleOptions): void {
  const own = randomNumbers(seed);
  const shared = sharedSeed === undefined ? undefined : randomNumbers(sharedSeed);
  mkdirSync(join(root, 'log'), { recursive: true });
  mkdirSync(join(root, 'empty'), { recursive: true });
  writeFileSync(join(root, 'server.conf'), `node = ${seed}\nlisten = 127.0.0.1\n`);
  writeFileSync(join(root, 'log', 'commit-0001.log'), content(own, 256 * 1024));
  symlinkSync('commit-0001.log', join(root, 'log', 'current'));
  for (let file = 0; file < files; file++) {
    const random = shared && file % 3 === 0 ? shared : own;
    const table = join(root, 'data', `table-${String(Math.floor(file / SEGMENTS_PER_TABLE)).padStart(3, '0')}`);
    mkdirSync(table, { recursive: true });
    // Log-normal sizes, as databases have them: many small, a few large.
    const size = Math.min(Math.floor(Math.exp(8 + 1.4 * gauss(random))), 2 * 1024 * 1024);
    const path = join(table, `segment-${String(file % SEGMENTS_PER_TABLE).padStart(2, '0')}.db`);
    writeFileSync(path, content(random, size));
    const time = 1_700_000_000 + Math.floor(random() * 30_000_000);
    utimesSync(path, time, time);
  }
}

/** A day of work: the log grows, some segments are new, some rewritten. */
export function changeSampleTree(root: string, seed: number): void {
  const random = randomNumbers(seed);
  appendFileSync(join(root, 'log', 'commit-0001.log'), content(random, 64 * 1024));
  const fresh = join(root, 'data', `table-new-${seed}`);
  mkdirSync(fresh, { recursive: true });
  for (let file = 0; file < 10; file++)
    writeFileSync(join(fresh, `segment-${file}.db`), content(random, 4096 + file * 100));
  writeFileSync(join(root, 'data', 'table-000', 'segment-01.db'), content(random, 9000));
}

function gauss(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Half of it compresses, as data does. */
function content(random: () => number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += 8) {
    const word = Math.floor(random() * 2 ** 32);
    if (at + 4 <= size) bytes.writeUInt32LE(word, at);
  }
  return bytes;
}

/** What makes two trees the same: each path's type, mode, time of change, target and content. */
export function fingerprint(root: string, leftOut: readonly string[] = ['.homarus']): Map<string, string> {
  const found = new Map<string, string>();
  const visit = (path: string): void => {
    const full = join(root, path);
    const stat = lstatSync(full, { bigint: true });
    // To the microsecond, which is what Node can set.
    const common = `${(stat.mode & 0o7777n).toString(8)} ${stat.mtimeNs / 1000n}`;
    if (stat.isDirectory()) {
      // Our own directory for hard links comes and goes in the root, and with it the root's time.
      found.set(path, path === '' ? 'directory' : `directory ${common}`);
      for (const name of readdirSync(full)) if (path !== '' || !leftOut.includes(name)) visit(join(path, name));
    } else if (stat.isSymbolicLink()) {
      found.set(path, `link to ${readlinkSync(full)}`);
    } else {
      found.set(path, `file ${common} ${createHash('sha256').update(readFileSync(full)).digest('hex')}`);
    }
  };
  visit('');
  return found;
}

/** Paths that differ between two fingerprints. */
export function differences(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  const paths = new Set([...before.keys(), ...after.keys()]);
  return [...paths].filter((path) => before.get(path) !== after.get(path)).sort();
}
