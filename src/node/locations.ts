import { join } from 'node:path';
import { HASH_BYTES } from '../storage/hash.ts';
import { CHUNK_RECORD_BYTES } from '../storage/plan.ts';
import { RecordSorter } from '../storage/records.ts';
import { AppendFile } from './appendFile.ts';

/** hash:32 length:u32 source:u32 offset:u64 (little-endian) */
export const LOCATION_BYTES = 48;

/** Where in the snapshot's sources each chunk is that the storage may not have. Sorted on disk: memory does not grow. */
export class Locations {
  readonly #path: string;
  readonly #sorter: RecordSorter;
  readonly #record = Buffer.alloc(LOCATION_BYTES);

  constructor(workDirectory: string) {
    this.#path = join(workDirectory, 'locations');
    this.#sorter = new RecordSorter({
      directory: join(workDirectory, 'sorting'),
      recordBytes: LOCATION_BYTES,
      keyBytes: HASH_BYTES,
      unique: true,
    });
  }

  /** `offset`: bytes from the start of the source. */
  add(hash: Uint8Array, length: number, source: number, offset: number): void {
    this.#record.set(hash);
    this.#record.writeUInt32LE(length, HASH_BYTES);
    this.#record.writeUInt32LE(source, HASH_BYTES + 4);
    this.#record.writeBigUInt64LE(BigInt(offset), HASH_BYTES + 8);
    this.#sorter.add(this.#record);
  }

  /** All of a file's chunks (36 bytes each: hash and length), which follow each other from its start. */
  addFile(chunks: Buffer, source: number): void {
    let offset = 0;
    for (let at = 0; at < chunks.length; at += CHUNK_RECORD_BYTES) {
      const length = chunks.readUInt32LE(at + HASH_BYTES);
      this.add(chunks.subarray(at, at + HASH_BYTES), length, source, offset);
      offset += length;
    }
  }

  /** Writes the file `locations`, each hash once, and yields what is staged: records of hash and length, sorted. */
  *write(): Generator<Buffer> {
    const file = new AppendFile(this.#path);
    try {
      for (const batch of this.#sorter.sorted()) {
        file.append(batch);
        const staged = Buffer.allocUnsafe((batch.length / LOCATION_BYTES) * CHUNK_RECORD_BYTES);
        for (let from = 0, to = 0; from < batch.length; from += LOCATION_BYTES, to += CHUNK_RECORD_BYTES) {
          batch.copy(staged, to, from, from + CHUNK_RECORD_BYTES);
        }
        yield staged;
      }
    } finally {
      file.close();
    }
  }

  close(): void {
    this.#sorter.close();
  }
}
