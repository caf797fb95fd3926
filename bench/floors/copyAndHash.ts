import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readSync, writeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { Blake3Hasher } from '@napi-rs/blake-hash';

/** What nothing that stores the bytes and names them by a hash can be much faster than: copy, hash and sync, in threads. */
const PIECE = 1024 * 1024;

function copy(from: string, to: string, buffer: Buffer): void {
  const source = openSync(from, 'r');
  const target = openSync(to, 'w');
  const hash = new Blake3Hasher();
  for (let read = readSync(source, buffer); read > 0; read = readSync(source, buffer)) {
    hash.update(buffer.subarray(0, read));
    writeSync(target, buffer, 0, read);
  }
  hash.digestBuffer();
  fsyncSync(target);
  closeSync(source);
  closeSync(target);
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

if (isMainThread) {
  const [from = '', to = ''] = process.argv.slice(2);
  mkdirSync(to, { recursive: true });
  const files = filesBelow(from);
  const threads = availableParallelism();
  for (let thread = 0; thread < threads; thread++) {
    new Worker(new URL(import.meta.url), {
      workerData: { files: files.filter((_, place) => place % threads === thread), to },
    });
  }
} else {
  const { files, to } = workerData as { files: string[]; to: string };
  const buffer = Buffer.alloc(PIECE);
  for (const [place, file] of files.entries()) copy(file, join(to, `${place}-${basename(file)}`), buffer);
}
