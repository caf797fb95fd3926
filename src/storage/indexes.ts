import type { IndexRef } from '../domain/documents.ts';
import { ChunkIndex, writeIndex } from './chunkIndex.ts';
import type { NewEntries, UnionOptions } from './indexUnion.ts';
import { IndexUnion } from './indexUnion.ts';
import type { CallOptions } from './objectStore.ts';
import type { Repository } from './repository.ts';

/** Indexes made of other indexes: fewer, or without packs that nobody needs. */

export interface RewriteOptions extends CallOptions {
  /**
   * Ids of what the root calls damaged. Where a chunk of such a pack stands elsewhere too, that is what stays; such an
   * index is left as it is.
   */
  damaged?: ReadonlySet<string>;
  /** Entries of new packs, to stand in the index that is written. */
  added?: NewEntries | undefined;
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
  return replaceBy(repository, refs, small, epoch, options);
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
  if (touched.length === 0 && !options.added) return [...refs];
  return replaceBy(repository, refs, touched, epoch, { ...options, without: dropped });
}

async function replaceBy(
  repository: Repository,
  refs: readonly IndexRef[],
  replaced: readonly IndexRef[],
  epoch: number,
  options: RewriteOptions & Pick<UnionOptions, 'without'>,
): Promise<IndexRef[]> {
  const untouched = refs.filter((ref) => !replaced.includes(ref));
  const union = await IndexUnion.open(repository, replaced, options);
  // Numbers its packs, too.
  const entries = union.entries({ added: options.added });
  if (union.packs.length === 0 && !options.added) return untouched;
  return [...untouched, await writeIndex(repository, epoch, entries, union.packs, options)];
}
