import type { IndexRef } from '../domain/documents.ts';
import type { PackRef } from './chunkIndex.ts';
import { ChunkIndex, ENTRY_BYTES, writeIndex } from './chunkIndex.ts';
import { HASH_BYTES } from './hash.ts';
import type { CallOptions } from './objectStore.ts';
import type { Batches } from './records.ts';
import { mergeRecords } from './records.ts';
import type { Repository } from './repository.ts';

/** Indexes made of other indexes: fewer, or without packs that nobody needs. */

export interface RewriteOptions extends CallOptions {
  /**
   * Ids of what the root calls damaged. Where a chunk of such a pack stands elsewhere too, that is what stays; such an
   * index is left as it is.
   */
  damaged?: ReadonlySet<string>;
}

/** At most so many are named by a root. */
export const MOST_INDEXES = 20;
/** The largest stay as they are when others are merged, so that a chunk's entry is not written again and again. */
const UNTOUCHED = 5;

/** The indexes that a root should name instead of `refs`: the same, or the small ones merged into one. */
export async function mergeIndexes(
  repository: Repository,
  refs: readonly IndexRef[],
  epoch: number,
  options: RewriteOptions = {},
): Promise<IndexRef[]> {
  if (refs.length <= MOST_INDEXES) return [...refs];
  const whole = refs.filter(({ id }) => !options.damaged?.has(id));
  const small = whole.sort((a, b) => b.entries - a.entries).slice(UNTOUCHED);
  return replaceBy(repository, refs, small, epoch, () => true, options);
}

/** The indexes that a root should name instead of `refs` when the packs `dropped` (ids) go. */
export async function indexesWithout(
  repository: Repository,
  refs: readonly IndexRef[],
  dropped: ReadonlySet<string>,
  epoch: number,
  options: RewriteOptions = {},
): Promise<IndexRef[]> {
  const touched: IndexRef[] = [];
  for (const ref of refs) {
    if (options.damaged?.has(ref.id)) continue;
    const { packs } = await ChunkIndex.open(repository, ref, options);
    if (packs.some(({ id }) => dropped.has(id))) touched.push(ref);
  }
  if (touched.length === 0) return [...refs];
  return replaceBy(repository, refs, touched, epoch, ({ id }) => !dropped.has(id), options);
}

async function replaceBy(
  repository: Repository,
  refs: readonly IndexRef[],
  replaced: readonly IndexRef[],
  epoch: number,
  stays: (pack: PackRef) => boolean,
  options: RewriteOptions,
): Promise<IndexRef[]> {
  const packs: PackRef[] = [];
  const places = new Map<string, number>();
  const whole: Batches[] = [];
  const damaged: Batches[] = [];
  for (const ref of replaced) {
    const index = await ChunkIndex.open(repository, ref, options);
    const placeOf = (pack: PackRef): number => {
      const known = places.get(pack.id) ?? packs.push(pack) - 1;
      places.set(pack.id, known);
      return known;
    };
    const numbers = index.packs.map((pack) => (stays(pack) ? placeOf(pack) : undefined));
    const hurt = index.packs.map(({ id }) => options.damaged?.has(id) ?? false);
    const only = (damage: boolean) => numbers.map((number, place) => (hurt[place] === damage ? number : undefined));
    whole.push(renumberedPages(index, only(false), options));
    if (hurt.includes(true)) damaged.push(renumberedPages(index, only(true), options));
  }
  const untouched = refs.filter((ref) => !replaced.includes(ref));
  if (packs.length === 0) return untouched;
  const entries = firstOfEach(mergeRecords([...whole, ...damaged], ENTRY_BYTES, HASH_BYTES));
  return [...untouched, await writeIndex(repository, epoch, entries, packs, options)];
}

/** An index's entries with other pack numbers; those of packs without one are left out. */
async function* renumberedPages(
  index: ChunkIndex,
  places: readonly (number | undefined)[],
  options: CallOptions,
): AsyncGenerator<Buffer> {
  for await (const page of index.pages(options)) {
    const batch = Buffer.allocUnsafe(page.length);
    let length = 0;
    for (let at = 0; at < page.length; at += ENTRY_BYTES) {
      const place = places[page.readUInt32LE(at + HASH_BYTES)];
      if (place === undefined) continue;
      page.copy(batch, length, at, at + ENTRY_BYTES);
      batch.writeUInt32LE(place, length + HASH_BYTES);
      length += ENTRY_BYTES;
    }
    if (length > 0) yield batch.subarray(0, length);
  }
}

/** Where several indexes name a chunk, one entry is enough. */
async function* firstOfEach(sorted: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const last = Buffer.alloc(HASH_BYTES);
  let any = false;
  for await (const records of sorted) {
    const batch = Buffer.allocUnsafe(records.length);
    let length = 0;
    for (let at = 0; at < records.length; at += ENTRY_BYTES) {
      if (any && records.compare(last, 0, HASH_BYTES, at, at + HASH_BYTES) === 0) continue;
      records.copy(batch, length, at, at + ENTRY_BYTES);
      records.copy(last, 0, at, at + HASH_BYTES);
      length += ENTRY_BYTES;
      any = true;
    }
    if (length > 0) yield batch.subarray(0, length);
  }
}
