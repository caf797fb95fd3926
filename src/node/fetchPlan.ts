import { join } from 'node:path';
import { HomarusError } from '../domain/errors.ts';
import type { ChunkIndex } from '../storage/chunkIndex.ts';
import { joinIndexes, notNamed } from '../storage/chunkIndex.ts';
import { HASH_BYTES } from '../storage/hash.ts';
import type { CallOptions } from '../storage/objectStore.ts';
import type { PackRef } from '../storage/pack.ts';
import type { PackRange } from '../storage/packRanges.ts';
import { cutRanges } from '../storage/packRanges.ts';
import { RecordSorter } from '../storage/records.ts';
import { shown } from './bytePath.ts';
import { decodePiece, encodePiece, PIECE_BYTES, PIECE_KEY_BYTES, PIECE_STORED_FIELD } from './piece.ts';
import type { RestorePlan } from './restorePlan.ts';
import { decodePlanned, WANTED_BYTES } from './restorePlan.ts';

/** What a restore that cannot bring all says. */
export const RESTORE_OTHERS =
  'Restore other paths with --path, or these from another backup; "homarus verify" names all that is lost.';
/** The pieces of all files to be written, in the order in which they stand in the packs. */
export class FetchPlan {
  readonly #packs: PackRef[] = [];
  readonly #pieces: RecordSorter;

  private constructor(directory: string) {
    this.#pieces = new RecordSorter({
      directory: join(directory, 'pieces'),
      recordBytes: PIECE_BYTES,
      keyBytes: PIECE_KEY_BYTES,
    });
  }

  /** Finds all that the plan wants. `ObjectMissing` names a chunk that no index has and a file that it costs. */
  static async make(
    plan: RestorePlan,
    indexes: readonly ChunkIndex[],
    directory: string,
    options: CallOptions,
  ): Promise<FetchPlan> {
    const fetch = new FetchPlan(directory);
    try {
      await fetch.#locate(plan, indexes, options);
      return fetch;
    } catch (error) {
      fetch.close();
      throw error;
    }
  }

  ranges(): Generator<PackRange> {
    return cutRanges(this.#pieces.sorted(), this.#packs, { recordBytes: PIECE_BYTES, storedField: PIECE_STORED_FIELD });
  }

  close(): void {
    this.#pieces.close();
  }

  async #locate(plan: RestorePlan, indexes: readonly ChunkIndex[], options: CallOptions): Promise<void> {
    // By their places in the indexes: that is the order in which files were packed.
    const numbers = new Map<string, number>();
    for (const index of indexes) {
      for (const pack of index.packs) {
        if (numbers.has(pack.id)) continue;
        numbers.set(pack.id, this.#packs.length);
        this.#packs.push(pack);
      }
    }
    for await (const { record, location } of joinIndexes(plan.wanted.sorted(), WANTED_BYTES, indexes, options)) {
      const file = Number(record.readBigUInt64LE(HASH_BYTES + 4));
      const hash = record.subarray(0, HASH_BYTES);
      if (location?.length !== record.readUInt32LE(HASH_BYTES)) throw missing(plan, indexes, hash, file);
      const { offset, inner, stored, length } = location;
      const pack = numbers.get(location.pack.id) as number;
      const fileOffset = Number(record.readBigUInt64LE(HASH_BYTES + 12));
      this.#pieces.add(encodePiece({ pack, offset, inner, file, fileOffset, stored, length, hash }));
    }
  }
}

/** The range without what its blocks do not need of each other: two of about half the blocks; none when it is one block. */
export function halvesOf(range: PackRange): [PackRange, PackRange] | undefined {
  const { records: pieces } = range;
  const middle = Math.floor(pieces.length / PIECE_BYTES / 2);
  const offsetAt = (number: number): number => decodePiece(pieces, number * PIECE_BYTES).offset;
  const count = pieces.length / PIECE_BYTES;
  let cut = middle;
  while (cut > 0 && offsetAt(cut - 1) === offsetAt(cut)) cut--;
  if (cut === 0) for (cut = middle; cut < count && (cut === 0 || offsetAt(cut - 1) === offsetAt(cut)); ) cut++;
  if (cut === count) return undefined;
  return [part(range, 0, cut), part(range, cut, count)];
}

function part({ pack, records }: PackRange, from: number, until: number): PackRange {
  const own = records.subarray(from * PIECE_BYTES, until * PIECE_BYTES);
  const first = decodePiece(own);
  const last = decodePiece(own, own.length - PIECE_BYTES);
  return { pack, start: first.offset, length: last.offset + last.stored - first.offset, records: own };
}

function missing(plan: RestorePlan, indexes: readonly ChunkIndex[], hash: Buffer, file: number): HomarusError {
  const { path } = decodePlanned(plan.files.at(file)).row;
  const what = `chunk ${hash.toString('hex')}, which "${shown(path)}" and maybe other files need`;
  const { code, message } = notNamed(indexes, what, 'the storage');
  return new HomarusError(code, `${message}; nothing was changed`, { hint: RESTORE_OTHERS });
}
