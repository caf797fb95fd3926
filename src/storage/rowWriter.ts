import type { Row } from './treeRow.ts';
import { BYTES, fields, rowTypes, sharedPrefix, VARINT } from './treeRow.ts';

/** A row as it stands in a page, with its length in front. `previous` is the path of the row before it in the page. */
export function encodeRow(row: Row, previous: string): Buffer {
  const writer = new RowWriter();
  writer.add(row, previous);
  return writer.take();
}

/** Writes rows one after another into one buffer that grows. */
export class RowWriter {
  #bytes = Buffer.allocUnsafe(1024);
  #length = 0;

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  add(row: Row, previous: string): void {
    const start = this.#length;
    this.#fields(row, previous);
    const length = this.#length - start;
    const head = varintBytes(length);
    this.#room(head);
    this.#bytes.copyWithin(start + head, start, this.#length);
    this.#length = start;
    this.#varint(length);
    this.#length += length;
  }

  /** What was written since the former call; the caller's own. */
  take(): Buffer {
    const taken = Buffer.from(this.#bytes.subarray(0, this.#length));
    this.#length = 0;
    return taken;
  }

  /** Takes back what was written from `length` on. */
  rewind(length: number): void {
    this.#length = length;
  }

  #fields(row: Row, previous: string): void {
    const shared = sharedPrefix(row.path, previous);
    this.#number(fields.shared, shared);
    this.#text(fields.rest, row.path.slice(shared));
    if (row.run) {
      this.#blob(fields.chunks, row.chunks);
      this.#number(fields.run, row.run);
      return;
    }
    this.#number(fields.type, rowTypes.indexOf(row.type));
    this.#number(fields.size, row.size);
    this.#big(fields.mtime, row.mtime >= 0n ? row.mtime << 1n : (-row.mtime << 1n) - 1n);
    this.#number(fields.mode, row.mode);
    this.#number(fields.uid, row.uid);
    this.#number(fields.gid, row.gid);
    if (row.target !== undefined) this.#text(fields.target, row.target);
    this.#blob(fields.content, row.content);
    this.#blob(fields.chunks, row.chunks);
    if (row.sparse) this.#number(fields.sparse, 1);
    if (row.inode !== undefined) this.#big(fields.inode, row.inode);
    if (row.unknown) this.#raw(row.unknown);
  }

  #number(field: number, value: number): void {
    if (value === 0) return;
    this.#varint(field * 8 + VARINT);
    this.#varint(value);
  }

  #big(field: number, value: bigint): void {
    if (value === 0n) return;
    this.#varint(field * 8 + VARINT);
    // In two numbers: arithmetic on bigints for each byte would be most of the work of a row.
    const high = Number(value >> 28n);
    if (high === 0) {
      this.#varint(Number(value));
      return;
    }
    let low = Number(value & 0xfffffffn);
    this.#room(4);
    for (let byte = 0; byte < 4; byte++, low >>>= 7) this.#bytes[this.#length++] = (low & 127) | 128;
    this.#varint(high);
  }

  #text(field: number, text: string): void {
    if (text.length === 0) return;
    this.#varint(field * 8 + BYTES);
    this.#varint(text.length);
    this.#room(text.length);
    if (text.length > SHORT) this.#bytes.write(text, this.#length, 'latin1');
    else for (let at = 0; at < text.length; at++) this.#bytes[this.#length + at] = text.charCodeAt(at);
    this.#length += text.length;
  }

  #blob(field: number, bytes: Buffer | undefined): void {
    if (bytes === undefined || bytes.length === 0) return;
    this.#varint(field * 8 + BYTES);
    this.#varint(bytes.length);
    this.#raw(bytes);
  }

  #raw(bytes: Buffer): void {
    this.#room(bytes.length);
    bytes.copy(this.#bytes, this.#length);
    this.#length += bytes.length;
  }

  #varint(value: number): void {
    this.#room(10);
    let rest = value;
    for (; rest > 0x7fffffff; rest = Math.floor(rest / 128)) this.#bytes[this.#length++] = (rest % 128) | 128;
    for (; rest > 127; rest >>>= 7) this.#bytes[this.#length++] = (rest & 127) | 128;
    this.#bytes[this.#length++] = rest;
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + bytes));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

/** A call into the runtime costs more than copying so many characters. */
const SHORT = 48;

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}
