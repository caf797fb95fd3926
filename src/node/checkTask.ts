import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { asBuffer, HASH_BYTES } from '../storage/hash.ts';
import type { Sealing } from '../storage/sealing.ts';
import { nameChunk } from '../storage/sealing.ts';
import { CHUNK_BYTES } from '../storage/tree.ts';

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

export interface CheckArgs {
  sealing: Sealing;
  files: {
    /** Bytes of its absolute path. */
    path: Uint8Array;
    size: number;
    /** What it should be made of: as in a tree's row; of a large file some chunks, from `offset` on. */
    offset: number;
    content?: Uint8Array | undefined;
    chunks?: Uint8Array | undefined;
  }[];
}

/** Which files have just the content that they should have. What cannot be read has not. */
export function checkContents(args: CheckArgs): boolean[] {
  return args.files.map((file) => {
    let open: number | undefined;
    try {
      open = openSync(asBuffer(file.path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      const stat = fstatSync(open);
      return stat.isFile() && stat.size === file.size && hasContent(open, file, args.sealing);
    } catch {
      return false;
    } finally {
      if (open !== undefined) closeSync(open);
    }
  });
}

let scratch = Buffer.alloc(0);

function hasContent(open: number, file: CheckArgs['files'][number], sealing: Sealing): boolean {
  const read = (length: number, at: number): Buffer => {
    if (scratch.length < length) scratch = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const got = readSync(open, scratch, done, length - done, at + done);
      if (got === 0) break;
      done += got;
    }
    return scratch.subarray(0, done);
  };
  if (!file.chunks) return read(file.size, 0).equals(file.content ?? Buffer.alloc(0));
  const chunks = asBuffer(file.chunks);
  let { offset } = file;
  for (let at = 0; at < chunks.length; at += CHUNK_BYTES) {
    const length = chunks.readUInt32LE(at + HASH_BYTES);
    if (!nameChunk(sealing, read(length, offset)).equals(chunks.subarray(at, at + HASH_BYTES))) return false;
    offset += length;
  }
  return true;
}
