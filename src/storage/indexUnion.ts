import type { IndexRef, RootDocument } from '../domain/documents.ts';
import type { PackRef } from './chunkIndex.ts';
import { ChunkIndex, ENTRY_BYTES, PAGES_PER_READ } from './chunkIndex.ts';
import { HASH_BYTES } from './hash.ts';
import type { CallOptions } from './objectStore.ts';
import { damagedIn } from './openIndexes.ts';
import type { Batches } from './records.ts';
import { mergeRecords } from './records.ts';
import type { Repository } from './repository.ts';

/** Entries that are no index yet: sorted, their pack field is the place in `packs`. */
export interface NewEntries {
  packs: readonly PackRef[];
  entries: Batches;
}

export interface UnionOptions extends CallOptions {
  /** Ids of packs that the root calls damaged: where a chunk stands elsewhere too, that is its entry. */
  damaged?: ReadonlySet<string> | undefined;
  /** Packs to leave out, with their entries. */
  without?: ReadonlySet<string> | undefined;
}

export interface EntriesOptions {
  added?: NewEntries | undefined;
  moved?: ReadonlySet<number>;
  dropped?: ReadonlySet<number>;
}

/** Several indexes read as one: an entry for each chunk, in the order of their hashes, the same whenever it is asked. */
export class IndexUnion {
  /** Each once; the number of a pack is its place here. */
  readonly packs: PackRef[] = [];
  readonly indexes: readonly ChunkIndex[];
  /** Of the storage, for messages. */
  readonly description: string;
  readonly #options: UnionOptions;
  /** Numbers of the packs of each index; undefined for those that are left out. */
  readonly #numbers: (number | undefined)[][];
  readonly #places = new Map<string, number>();

  private constructor({ store }: Repository, indexes: readonly ChunkIndex[], options: UnionOptions) {
    this.description = store.description;
    this.indexes = indexes;
    this.#options = options;
    this.#numbers = indexes.map((index) => this.#numbersOf(index.packs));
  }

  static async open(
    repository: Repository,
    refs: readonly IndexRef[],
    options: UnionOptions = {},
  ): Promise<IndexUnion> {
    const indexes: ChunkIndex[] = [];
    const { signal, damaged } = options;
    const known = { ...(signal && { signal }), ...(damaged && { damaged }) };
    for (const ref of refs) indexes.push(await ChunkIndex.open(repository, ref, known));
    return new IndexUnion(repository, indexes, options);
  }

  /** Of all indexes; fewer are handed out where several name a chunk. */
  get mostEntries(): number {
    return this.indexes.reduce((all, { ref }) => all + ref.entries, 0);
  }

  /**
   * Batches of index entries with the numbers of their packs here. Where several name a chunk, that of `added` (to be read
   * once) is handed out, else one of a pack that stays, of one that is `moved` (numbers), of a damaged one, and only then
   * of one that is `dropped`. Which one it is changes no chunk's number.
   */
  entries({ added, moved, dropped }: EntriesOptions = {}): AsyncGenerator<Buffer> {
    const sources: Batches[] = [];
    if (added) sources.push(renumbered(added.entries, this.#numbersOf(added.packs)));
    const { damaged = new Set() } = this.#options;
    // Together no more memory than one index would take.
    const perRead = Math.ceil(PAGES_PER_READ / Math.max(this.indexes.length, 1));
    const rankOf = (id: string, number = -1): number => {
      if (dropped?.has(number)) return 3;
      if (damaged.has(id)) return 2;
      return moved?.has(number) ? 1 : 0;
    };
    for (const rank of [0, 1, 2, 3]) {
      for (const [place, index] of this.indexes.entries()) {
        const numbers = this.#numbers[place] as (number | undefined)[];
        const own = index.packs.map(({ id }, pack) => (rankOf(id, numbers[pack]) === rank ? numbers[pack] : undefined));
        if (own.some((number) => number !== undefined))
          sources.push(renumbered(index.pages(this.#options, perRead), own));
      }
    }
    return mergeRecords(sources, ENTRY_BYTES, HASH_BYTES, { unique: true });
  }

  #numbersOf(packs: readonly PackRef[]): (number | undefined)[] {
    return packs.map((pack) => {
      if (this.#options.without?.has(pack.id)) return undefined;
      const known = this.#places.get(pack.id) ?? this.packs.push(pack) - 1;
      this.#places.set(pack.id, known);
      return known;
    });
  }
}

/** Those of a root that are whole: one that it calls damaged counts as absent. */
export function openUnion(
  repository: Repository,
  root: Pick<RootDocument, 'indexes' | 'damaged'>,
  options: CallOptions = {},
): Promise<IndexUnion> {
  const damaged = damagedIn(root);
  const whole = root.indexes.filter(({ id }) => !damaged.has(id));
  return IndexUnion.open(repository, whole, { ...options, damaged });
}

/** Entries with other pack numbers; those of packs without one are left out. */
async function* renumbered(entries: Batches, numbers: readonly (number | undefined)[]): AsyncGenerator<Buffer> {
  for await (const batch of entries) {
    const own = Buffer.allocUnsafe(batch.length);
    let length = 0;
    for (let at = 0; at < batch.length; at += ENTRY_BYTES) {
      const number = numbers[batch.readUInt32LE(at + HASH_BYTES)];
      if (number === undefined) continue;
      batch.copy(own, length, at, at + ENTRY_BYTES);
      own.writeUInt32LE(number, length + HASH_BYTES);
      length += ENTRY_BYTES;
    }
    if (length > 0) yield own.subarray(0, length);
  }
}
