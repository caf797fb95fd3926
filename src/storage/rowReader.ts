import { HomarusError } from '../domain/errors.ts';
import type { Row } from './treeRow.ts';
import { BYTES, CHUNK_BYTES, checkPath, comparePaths, fields, rowTypes, VARINT } from './treeRow.ts';

/**
 * The rows of a page, in order; they share its memory. `ObjectDamaged` for what is no row, `UnsafePath` for a path that
 * would leave the root; `name` is what the message calls the page.
 */
export function* decodeRows(page: Buffer, name = 'a page of a tree'): Generator<Row> {
  const input = new Input(page, name);
  let previous: Row | undefined;
  while (input.at < page.length) {
    input.open();
    const row = decodeRow(input, previous?.path ?? '');
    if (previous !== undefined) {
      const order = comparePaths(previous.path, row.path);
      if (order > 0 || (order === 0) !== (row.run !== undefined)) input.fail('its rows are out of order');
      if (order === 0 && row.run !== (previous.run ?? 0) + 1) input.fail('a run of chunks is missing');
    }
    yield row;
    previous = row;
  }
}

/** The lists of chunks in a page, and nothing else of it: a tenth of the work of `decodeRows`. */
export function* chunkListsOf(page: Buffer, name = 'a page of a tree'): Generator<Buffer> {
  const input = new Input(page, name);
  while (input.at < page.length) {
    input.open();
    while (!input.ended) {
      const key = input.number();
      if (key !== fields.chunks * 8 + BYTES) {
        input.skip(key);
        continue;
      }
      const chunks = input.bytes();
      if (chunks.length % CHUNK_BYTES !== 0) input.fail('a list of chunks has a wrong length');
      yield chunks;
    }
  }
}

function decodeRow(input: Input, previous: string): Row {
  const row: Row = { path: '', type: 'file', size: 0, mtime: 0n, mode: 0, uid: 0, gid: 0 };
  let shared = 0;
  let rest = '';
  let unknown: Buffer[] | undefined;
  while (!input.ended) {
    const start = input.at;
    const key = input.number();
    switch (key) {
      case fields.shared * 8 + VARINT:
        shared = input.number();
        break;
      case fields.rest * 8 + BYTES:
        rest = input.text();
        break;
      case fields.type * 8 + VARINT:
        row.type = rowTypes[input.number()] ?? input.fail('it has an entry of an unknown type');
        break;
      case fields.size * 8 + VARINT:
        row.size = input.number();
        break;
      case fields.mtime * 8 + VARINT: {
        const zigzag = input.big();
        row.mtime = zigzag & 1n ? -((zigzag + 1n) >> 1n) : zigzag >> 1n;
        break;
      }
      case fields.mode * 8 + VARINT:
        row.mode = input.number() & 0o7777;
        break;
      case fields.uid * 8 + VARINT:
        row.uid = input.number();
        break;
      case fields.gid * 8 + VARINT:
        row.gid = input.number();
        break;
      case fields.target * 8 + BYTES:
        row.target = input.text();
        break;
      case fields.content * 8 + BYTES:
        row.content = input.bytes();
        break;
      case fields.chunks * 8 + BYTES:
        row.chunks = input.bytes();
        break;
      case fields.sparse * 8 + VARINT:
        row.sparse = input.number() === 1;
        break;
      case fields.run * 8 + VARINT:
        row.run = input.number();
        break;
      case fields.inode * 8 + VARINT:
        row.inode = input.big();
        break;
      default: {
        input.skip(key);
        unknown ??= [];
        unknown.push(input.since(start));
      }
    }
  }
  if (shared > previous.length) input.fail('a path begins with more than there is');
  if (unknown) row.unknown = Buffer.concat(unknown);
  row.path = shared > 0 ? previous.slice(0, shared) + rest : rest;
  check(row, input);
  return row;
}

function check(row: Row, input: Input): void {
  const { type, chunks, content, target } = row;
  checkPath(row.path, input.name);
  if (chunks !== undefined && chunks.length % CHUNK_BYTES !== 0) input.fail('a list of chunks has a wrong length');
  if (row.run === 0) delete row.run;
  if (type !== 'file' && (chunks ?? content) !== undefined) input.fail(`a ${type} has content`);
  if (type === 'hardlink') {
    if (!target) input.fail('a hard link has no target');
    checkPath(target, input.name);
  } else if (type === 'symlink') {
    if (!target) input.fail('a symbolic link has no target');
    if (target.includes('\0')) throw new HomarusError('UnsafePath', `${input.name} has a link to a name with a NUL`);
  }
}

class Input {
  readonly #bytes: Buffer;
  readonly name: string;
  at = 0;
  #end: number;

  constructor(bytes: Buffer, name: string) {
    this.#bytes = bytes;
    this.name = name;
    this.#end = bytes.length;
  }

  /** The next row begins here: reads its length. */
  open(): void {
    this.#end = this.#bytes.length;
    const length = this.number();
    if (length > this.#end - this.at) this.fail('it is cut short');
    this.#end = this.at + length;
  }

  get ended(): boolean {
    return this.at >= this.#end;
  }

  number(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#byte();
      value += (byte & 127) * factor;
      if (value > Number.MAX_SAFE_INTEGER) this.fail('a number is too large');
      if (byte < 128) return value;
      if (factor > Number.MAX_SAFE_INTEGER) this.fail('a number is too large');
    }
  }

  /** Up to 70 bits, in parts of 35 that numbers hold exactly. */
  big(): bigint {
    let low = 0;
    for (let part = 0, factor = 1; part < 5; part++, factor *= 128) {
      const byte = this.#byte();
      low += (byte & 127) * factor;
      if (byte < 128) return BigInt(low);
    }
    let high = 0;
    for (let part = 0, factor = 1; part < 5; part++, factor *= 128) {
      const byte = this.#byte();
      high += (byte & 127) * factor;
      if (byte < 128) return (BigInt(high) << 35n) | BigInt(low);
    }
    return this.fail('a number is too large');
  }

  bytes(): Buffer {
    const length = this.number();
    if (length > this.#end - this.at) this.fail('it is cut short');
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  text(): string {
    const length = this.number();
    if (length > this.#end - this.at) this.fail('it is cut short');
    this.at += length;
    return this.#bytes.toString('latin1', this.at - length, this.at);
  }

  since(start: number): Buffer {
    return this.#bytes.subarray(start, this.at);
  }

  /** Passes over the value of a field that is not known. */
  skip(key: number): void {
    const wireType = key % 8;
    if (wireType === VARINT) this.#skipNumber();
    else if (wireType === BYTES) this.bytes();
    else if (wireType === 1 || wireType === 5) {
      this.at += wireType === 1 ? 8 : 4;
      if (this.at > this.#end) this.fail('it is cut short');
    } else this.fail('a field is of an unknown kind');
  }

  #skipNumber(): void {
    for (let bytes = 1; this.#byte() >= 128; bytes++) if (bytes === 10) this.fail('a number is too large');
  }

  fail(what: string): never {
    throw new HomarusError('ObjectDamaged', `${this.name} is damaged: ${what}`);
  }

  #byte(): number {
    if (this.at >= this.#end) this.fail('it is cut short');
    return this.#bytes[this.at++] as number;
  }
}
