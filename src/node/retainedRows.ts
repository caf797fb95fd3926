import { closeSync, openSync, readSync } from 'node:fs';
import { blake3 } from '../storage/hash.ts';
import type { Row } from '../storage/tree.ts';
import { comparePaths, decodeRows, encodeRow } from '../storage/tree.ts';
import { AppendFile } from './appendFile.ts';
import type { BytePath } from './bytePath.ts';

/**
 * The rows of a tree with their inodes, in a local file: frames of `length:u32 check:16 page`, where a page is rows as in a
 * tree, and check the beginning of its hash, since a wrong row would become a wrong backup.
 */

const CHECK_BYTES = 16;
const HEAD_BYTES = 4 + CHECK_BYTES;
const PAGE_BYTES = 64 * 1024;

export class RetainedWriter {
  readonly #file: AppendFile;
  #rows: Buffer[] = [];
  #bytes = 0;
  #previous: BytePath = '';

  constructor(path: string) {
    this.#file = new AppendFile(path);
  }

  /** In the order of a tree. Without an inode, a file is hashed again the next time. */
  add(row: Row): void {
    const encoded = encodeRow(row, this.#bytes === 0 ? '' : this.#previous);
    this.#rows.push(encoded);
    this.#bytes += encoded.length;
    this.#previous = row.path;
    if (this.#bytes >= PAGE_BYTES) this.#end();
  }

  /** On the disk when this returns: a name will soon promise that it is whole. */
  close(): void {
    this.#end();
    this.#file.close({ durable: true });
  }

  #end(): void {
    if (this.#bytes === 0) return;
    const page = Buffer.concat(this.#rows, this.#bytes);
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeUInt32LE(page.length);
    checkOf(page).copy(head, 4);
    this.#file.append(head);
    this.#file.append(page);
    this.#rows = [];
    this.#bytes = 0;
  }
}

/** The rows in order, as far as they are asked for. */
export class RetainedRows {
  readonly #file: number;
  readonly #rows: Iterator<Row>;
  #head: Row | undefined;
  /** It does not go on where it should: what follows counts as not retained. */
  damaged = false;

  constructor(path: string) {
    this.#file = openSync(path, 'r');
    this.#rows = this.#read();
    this.#advance();
  }

  /** The row of `path`; asked for in the order of a tree. */
  find(path: BytePath): Row | undefined {
    while (this.#head && this.#head.path !== path && comparePaths(this.#head.path, path) < 0) this.#advance();
    return this.#head?.path === path ? this.#head : undefined;
  }

  close(): void {
    closeSync(this.#file);
  }

  #advance(): void {
    const { done, value } = this.#rows.next();
    this.#head = done ? undefined : value;
  }

  *#read(): Generator<Row> {
    const head = Buffer.alloc(HEAD_BYTES);
    for (let at = 0; ; ) {
      const found = readSync(this.#file, head, 0, HEAD_BYTES, at);
      if (found === 0) return;
      const page = found === HEAD_BYTES ? this.#page(at + HEAD_BYTES, head.readUInt32LE()) : undefined;
      if (page === undefined || checkOf(page).compare(head, 4, HEAD_BYTES) !== 0) {
        this.damaged = true;
        return;
      }
      yield* decodeRows(page);
      at += HEAD_BYTES + page.length;
    }
  }

  /** Undefined where the file ends before. Its memory is its own: rows keep parts of it. */
  #page(start: number, length: number): Buffer | undefined {
    const parts: Buffer[] = [];
    for (let done = 0; done < length; ) {
      // A damaged length may claim anything: no memory is taken for what the file does not have.
      const part = Buffer.allocUnsafeSlow(Math.min(length - done, 1024 * 1024));
      const read = readSync(this.#file, part, 0, part.length, start + done);
      if (read === 0) return undefined;
      parts.push(part.subarray(0, read));
      done += read;
    }
    return parts.length === 1 ? parts[0] : Buffer.concat(parts);
  }
}

const checkOf = (page: Buffer): Buffer => blake3.hash([page]).subarray(0, CHECK_BYTES);
