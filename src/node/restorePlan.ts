import { join } from 'node:path';
import { HASH_BYTES } from '../storage/hash.ts';
import { RecordSorter } from '../storage/records.ts';
import type { Row } from '../storage/tree.ts';
import { CHUNK_BYTES, decodeRows, encodeRow } from '../storage/tree.ts';
import { Spool } from './spool.ts';
import { mkdirSync } from './writing.ts';

/** hash:32 length:u32 file:u64 fileOffset:u64 (little-endian), sorted by hash. */
export const WANTED_BYTES = 52;
const HEAD_BYTES = 7;

/** A row of a tree, of the root with this number in the plan. */
export interface Planned {
  root: number;
  /** Of a directory: the selection does not cover it, it only leads to what it covers. */
  leading?: boolean;
  /** Of a file to be written, whose row is kept without its list of chunks: how many there are. */
  chunks?: number;
  row: Row;
}

/** What a restore will do, on disk: memory does not grow with the number of files. Nothing is changed while it is made. */
export class RestorePlan {
  /** To be removed, in this order. */
  readonly removals: Spool;
  /** That are to be there, in the order of the tree. */
  readonly directories: Spool;
  /** To be written; a file's place in the spool is its number. */
  readonly files: Spool;
  /** Of the right size, but their content must be compared. */
  readonly doubtful: Spool;
  /** To be kept, with other attributes. */
  readonly mends: Spool;
  /** Symbolic and hard links. */
  readonly links: Spool;
  readonly wanted: RecordSorter;
  readonly counts = { files: 0, bytes: 0, kept: 0, keptBytes: 0 };

  constructor(directory: string) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const spool = (name: string): Spool => new Spool(join(directory, name));
    this.removals = spool('removals');
    this.directories = spool('directories');
    this.files = spool('files');
    this.doubtful = spool('doubtful');
    this.mends = spool('mends');
    this.links = spool('links');
    this.wanted = new RecordSorter({
      directory: join(directory, 'wanted'),
      recordBytes: WANTED_BYTES,
      keyBytes: HASH_BYTES,
    });
  }

  /** A file to be written, and the chunks that it needs. */
  addFile(root: number, { chunks = Buffer.alloc(0), ...row }: Row): void {
    const file = this.files.add(encodePlanned({ root, chunks: chunks.length / CHUNK_BYTES, row }));
    let offset = 0;
    const record = Buffer.alloc(WANTED_BYTES);
    for (let at = 0; at < chunks.length; at += CHUNK_BYTES) {
      chunks.copy(record, 0, at, at + CHUNK_BYTES);
      record.writeBigUInt64LE(BigInt(file), CHUNK_BYTES);
      record.writeBigUInt64LE(BigInt(offset), CHUNK_BYTES + 8);
      this.wanted.add(record);
      offset += chunks.readUInt32LE(at + HASH_BYTES);
    }
  }

  addKept(row: Row): void {
    this.counts.kept++;
    this.counts.keptBytes += row.size;
  }

  close(): void {
    for (const spool of [this.removals, this.directories, this.files, this.doubtful, this.mends, this.links])
      spool.close();
    this.wanted.close();
  }
}

export function encodePlanned({ root, leading, chunks, row }: Planned): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt16LE(root, 0);
  head[2] = leading ? 1 : 0;
  head.writeUInt32LE(chunks ?? 0, 3);
  return Buffer.concat([head, encodeRow(row, '')]);
}

export function decodePlanned(frame: Buffer): Required<Planned> {
  const [row] = decodeRows(frame.subarray(HEAD_BYTES));
  return { root: frame.readUInt16LE(0), leading: frame[2] === 1, chunks: frame.readUInt32LE(3), row: row as Row };
}
