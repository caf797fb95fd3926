import { closeSync, fsyncSync } from 'node:fs';
import { release } from '../storage/memory.ts';
import { openSync, writeSync } from './writing.ts';

const BUFFER_BYTES = 256 * 1024;

/** A file that is written from its start to its end, through a buffer. It must not be there yet. */
export class AppendFile {
  readonly #file: number;
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #held = 0;
  #length = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'wx', 0o600);
  }

  /** Bytes that were appended. */
  get length(): number {
    return this.#length;
  }

  /** Copies the bytes; answers the place where they stand. */
  append(bytes: Uint8Array): number {
    const place = this.#length;
    this.#length += bytes.length;
    if (this.#held + bytes.length > BUFFER_BYTES) this.#flush();
    if (bytes.length > BUFFER_BYTES) {
      this.#write(bytes);
    } else {
      this.#buffer.set(bytes, this.#held);
      this.#held += bytes.length;
    }
    return place;
  }

  /** With `durable`, its content is on the disk when this returns. */
  close(options: { durable?: boolean } = {}): void {
    try {
      this.#flush();
      if (options.durable) fsyncSync(this.#file);
    } finally {
      closeSync(this.#file);
      release(this.#buffer);
    }
  }

  #flush(): void {
    this.#write(this.#buffer.subarray(0, this.#held));
    this.#held = 0;
  }

  #write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) done += writeSync(this.#file, bytes, done);
  }
}
