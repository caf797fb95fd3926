import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { list, record, text } from '../domain/shape.ts';
import { AppendFile } from './appendFile.ts';
import type { BytePath } from './bytePath.ts';
import { toBytePath } from './bytePath.ts';
import { linkPath } from './linkDirectory.ts';
import { readState, writeState } from './stateFile.ts';

/**
 * The numbered files of a snapshot, in the attempt's work directory, so that an upload finds the bytes of a chunk. Number 0
 * is `pages.bin`: the tree's new pages, which upload like any file.
 *
 * `sources.json` names the roots. `sources` holds for each number, from 1: root:u16 linked:u8 pathLength:u16 path;
 * `sources.places` where that begins, as u64.
 */

export interface SourceRoot {
  name: string;
  path: string;
  /** Directory of the attempt's links. */
  links: BytePath;
}
const sourcesState = record({ roots: list(record({ name: text, path: text, links: text })) });

export interface Source {
  /** Where its bytes are: absolute. */
  file: BytePath;
  /** What people call it: name of the root, and path below it. */
  root: string;
  path: BytePath;
}

export const pagesPath = (workDirectory: string): string => join(workDirectory, 'pages.bin');

const HEAD_BYTES = 5;
const PLACE_BYTES = 8;
/** Neighbours are asked for together: one read serves many. */
const READ_BYTES = 64 * 1024;

export class SourceWriter {
  readonly #sources: AppendFile;
  readonly #places: AppendFile;
  #last = 0;

  constructor(workDirectory: string, roots: SourceRoot[]) {
    writeState(join(workDirectory, 'sources.json'), { roots });
    this.#sources = new AppendFile(join(workDirectory, 'sources'));
    this.#places = new AppendFile(join(workDirectory, 'sources.places'));
  }

  /** The number that the next file gets. */
  get next(): number {
    return this.#last + 1;
  }

  /** `root`: place in the list of roots. A file that is not linked is read where it is. */
  add(root: number, path: BytePath, linked: boolean): number {
    const record = Buffer.allocUnsafe(HEAD_BYTES + path.length);
    record.writeUInt16LE(root, 0);
    record[2] = linked ? 1 : 0;
    record.writeUInt16LE(path.length, 3);
    record.write(path, HEAD_BYTES, 'latin1');
    const place = Buffer.allocUnsafe(PLACE_BYTES);
    place.writeBigUInt64LE(BigInt(this.#sources.append(record)));
    this.#places.append(place);
    return ++this.#last;
  }

  close(): void {
    this.#sources.close();
    this.#places.close();
  }
}

export class SourceReader {
  readonly #pages: string;
  readonly #roots: SourceRoot[];
  readonly #sources: Window;
  readonly #places: Window;

  constructor(workDirectory: string) {
    const header = readState<{ roots: SourceRoot[] }>(join(workDirectory, 'sources.json'), sourcesState);
    if (!header) throw new Error(`${workDirectory} holds no snapshot`);
    this.#pages = pagesPath(workDirectory);
    this.#roots = header.roots;
    this.#sources = new Window(join(workDirectory, 'sources'));
    this.#places = new Window(join(workDirectory, 'sources.places'));
  }

  at(number: number): Source {
    if (number === 0) return { file: toBytePath(this.#pages), root: 'homarus', path: 'tree pages' };
    const place = Number(this.#places.read((number - 1) * PLACE_BYTES, PLACE_BYTES).readBigUInt64LE());
    const head = this.#sources.read(place, HEAD_BYTES);
    const root = this.#roots[head.readUInt16LE(0)];
    if (!root) throw new Error(`source ${number} is of an unknown root`);
    const linked = head[2] === 1;
    const path = this.#sources.read(place + HEAD_BYTES, head.readUInt16LE(3)).toString('latin1');
    const file = linked ? linkPath(root.links, number) : `${toBytePath(root.path)}/${path}`;
    return { file, root: root.name, path };
  }

  close(): void {
    this.#sources.close();
    this.#places.close();
  }
}

/** Reads a file by place, through one buffer. */
class Window {
  readonly #path: string;
  readonly #file: number;
  readonly #buffer = Buffer.allocUnsafe(READ_BYTES);
  #start = 0;
  #held = 0;

  constructor(path: string) {
    this.#path = path;
    this.#file = openSync(path, 'r');
  }

  /** Valid until the next call. */
  read(start: number, length: number): Buffer {
    if (start < this.#start || start + length > this.#start + this.#held) {
      this.#start = start;
      this.#held = readSync(this.#file, this.#buffer, 0, READ_BYTES, start);
      if (this.#held < length) throw new Error(`${this.#path} ends before ${start + length}`);
    }
    return this.#buffer.subarray(start - this.#start, start - this.#start + length);
  }

  close(): void {
    closeSync(this.#file);
  }
}
