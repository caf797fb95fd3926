import { createCipheriv, createHash } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

/** What is backed up: made from a seed, the same on every machine, and kept for the next run. */
export interface DataSet {
  readonly name: string;
  readonly directory: string;
  readonly files: number;
  readonly bytes: number;
}

const SEED = 20261125;
const FILES_PER_DIRECTORY = 100;
const MIB = 1024 * 1024;
/** Seconds since 1970: nothing is so young that a tool must look twice. */
const OLD = 1_700_000_000;

/** Sizes are log-normal, 10 KB on average, as those of many small tables are. */
export const smallFiles = (room: string, files: number, name = `small-${files}`): DataSet =>
  made(room, name, (directory, content) =>
    makeTree(directory, files, () =>
      content.take(Math.min(Math.ceil(Math.exp(8.49 + 1.2 * content.gauss())), 2 * MIB)),
    ),
  );

/** Very many files of a few hundred bytes: what is measured is their number. */
export const manyFiles = (room: string, files: number): DataSet =>
  made(room, `many-${files}`, (directory, content) =>
    makeTree(directory, files, () => content.take(200 + Math.floor(content.uniform() * 200))),
  );

/** Few large files, all of one size. What a stopped run appended to them is cut off. */
export function largeFiles(room: string, files: number, fileBytes: number): DataSet {
  const data = made(room, `large-${files}x${fileBytes}`, (directory, content) => {
    for (let file = 0; file < files; file++) writeLarge(largePath(directory, file), content, fileBytes);
    return { files, bytes: files * fileBytes };
  });
  for (let file = 0; file < files; file++) {
    const path = largePath(data.directory, file);
    if (statSync(path).size === fileBytes) continue;
    truncateSync(path, fileBytes);
    utimesSync(path, OLD, OLD);
  }
  return data;
}

/** Appends so many bytes to each of the large files, others in every round. */
export function grow({ directory, files }: DataSet, round: number, bytes: number): void {
  const content = new Content(`growth ${round}`);
  for (let file = 0; file < files; file++) appendFileSync(largePath(directory, file), content.take(bytes));
}

/** Writes every second of such files anew, others in every round; each gets content that no file had. */
export function rewriteHalf({ directory, files }: DataSet, round: number): void {
  const content = new Content(`rewrite ${round}`);
  for (let file = 0; file < files; file++) {
    if (content.uniform() >= 0.5) continue;
    const path = treePath(directory, file);
    writeFileSync(path, content.take(200 + Math.floor(content.uniform() * 200)));
    utimesSync(path, OLD + round, OLD + round);
  }
}

const largePath = (directory: string, file: number): string =>
  join(directory, `segment-${String(file).padStart(3, '0')}`);

type Counts = Pick<DataSet, 'files' | 'bytes'>;

/** Made once: its counts stand beside it when it is whole. */
function made(room: string, name: string, make: (directory: string, content: Content) => Counts): DataSet {
  const directory = join(room, 'data', name);
  const counts = `${directory}.json`;
  if (!existsSync(counts)) {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    writeFileSync(counts, JSON.stringify(make(directory, new Content(name))));
  }
  return { name, directory, ...(JSON.parse(readFileSync(counts, 'utf8')) as Counts) };
}

function makeTree(root: string, files: number, next: () => Buffer): Counts {
  let bytes = 0;
  for (let file = 0; file < files; file++) {
    const path = treePath(root, file);
    if (file % FILES_PER_DIRECTORY === 0) mkdirSync(dirname(path), { recursive: true });
    const content = next();
    writeFileSync(path, content);
    utimesSync(path, OLD + file, OLD + file);
    bytes += content.length;
  }
  return { files, bytes };
}

function treePath(root: string, file: number): string {
  const number = Math.floor(file / FILES_PER_DIRECTORY);
  const directory = join(root, `part-${Math.floor(number / 100)}`, `table-${number % 100}`);
  return join(directory, `segment-${file % FILES_PER_DIRECTORY}.db`);
}

function writeLarge(path: string, content: Content, bytes: number): void {
  const file = openSync(path, 'w');
  try {
    for (let done = 0; done < bytes; ) done += writeSync(file, content.take(Math.min(4 * MIB, bytes - done)));
  } finally {
    closeSync(file);
  }
  utimesSync(path, OLD, OLD);
}

/** Endless content that compresses to about three quarters, and numbers, all from the seed. */
class Content {
  readonly #cipher;
  #held = Buffer.alloc(0);
  #at = 0;

  constructor(name: string) {
    const key = createHash('sha256').update(`${SEED} ${name}`).digest();
    this.#cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16));
  }

  /** Valid until the next call. */
  take(bytes: number): Buffer {
    if (this.#held.length - this.#at < bytes) {
      const more = Math.max(bytes, 4 * MIB);
      this.#held = Buffer.concat([this.#held.subarray(this.#at), halfCompressible(this.#random(more))]);
      this.#at = 0;
    }
    this.#at += bytes;
    return this.#held.subarray(this.#at - bytes, this.#at);
  }

  /** From 0 to below 1. */
  uniform(): number {
    return this.#random(4).readUInt32LE() / 2 ** 32;
  }

  /** https://en.wikipedia.org/wiki/Box–Muller_transform */
  gauss(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  #random(bytes: number): Buffer {
    return this.#cipher.update(Buffer.alloc(bytes));
  }
}

/** Of each KiB the second half becomes digits: half of it is noise, half compresses to its half. */
function halfCompressible(noise: Buffer): Buffer {
  for (let at = 512; at + 512 <= noise.length; at += 1024)
    noise.write(noise.toString('hex', at, at + 256), at, 'latin1');
  return noise;
}
