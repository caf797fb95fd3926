import { closeSync, readSync } from 'node:fs';
import { release } from '../storage/memory.ts';
import { openSync, writeSync } from './writing.ts';

const BUFFER_BYTES = 1024 * 1024;
const LENGTH_BYTES = 4;

/**
 * Frames in a file: written once, then read in order, backwards, or by place, as often as wanted. Memory does not grow
 * with their number.
 */
export class Spool {
  readonly #file: number;
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #buffered = 0;
  #written = 0;
  count = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'w+', 0o600);
  }

  /** Answers the frame's place, for `at`. */
  add(frame: Buffer): number {
    const place = this.#written + this.#buffered;
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32LE(frame.length);
    // The length stands on both sides, so that the file can be read backwards.
    for (const part of [length, frame, length]) this.#put(part);
    this.count++;
    return place;
  }

  *forward(): Generator<Buffer> {
    for (const [, frame] of this.places()) yield frame;
  }

  /** Each frame, with its place in front. */
  *places(): Generator<[number, Buffer]> {
    this.#flush();
    let window: Buffer = Buffer.alloc(0);
    for (let at = 0; at < this.#written; ) {
      const needed = (window.length < LENGTH_BYTES ? 0 : window.readUInt32LE()) + 2 * LENGTH_BYTES;
      if (window.length < needed) {
        window = this.#read(at, Math.max(BUFFER_BYTES, needed));
        continue;
      }
      yield [at, window.subarray(LENGTH_BYTES, needed - LENGTH_BYTES)];
      window = window.subarray(needed);
      at += needed;
    }
  }

  *backward(): Generator<Buffer> {
    this.#flush();
    for (let end = this.#written; end > 0; ) {
      const length = this.#read(end - LENGTH_BYTES, LENGTH_BYTES).readUInt32LE();
      yield this.#read(end - LENGTH_BYTES - length, length);
      end -= length + 2 * LENGTH_BYTES;
    }
  }

  at(place: number): Buffer {
    this.#flush();
    return this.#read(place + LENGTH_BYTES, this.#read(place, LENGTH_BYTES).readUInt32LE());
  }

  close(): void {
    closeSync(this.#file);
    release(this.#buffer);
  }

  #put(part: Buffer): void {
    if (this.#buffered + part.length > BUFFER_BYTES) this.#flush();
    if (part.length > BUFFER_BYTES) {
      this.#write(part);
    } else {
      part.copy(this.#buffer, this.#buffered);
      this.#buffered += part.length;
    }
  }

  #flush(): void {
    const full = this.#buffer.subarray(0, this.#buffered);
    this.#buffered = 0;
    this.#write(full);
  }

  #write(bytes: Buffer): void {
    for (let done = 0; done < bytes.length; ) {
      const wrote = writeSync(this.#file, bytes, done, bytes.length - done, this.#written);
      done += wrote;
      this.#written += wrote;
    }
  }

  #read(start: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(Math.min(length, this.#written - start));
    for (let done = 0; done < bytes.length; ) {
      const read = readSync(this.#file, bytes, done, bytes.length - done, start + done);
      if (read === 0) throw new Error('a temporary file was cut short while it was used');
      done += read;
    }
    return bytes;
  }
}
