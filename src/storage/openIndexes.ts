import type { RootDocument } from '../domain/documents.ts';
import { ChunkIndex } from './chunkIndex.ts';
import type { CallOptions } from './objectStore.ts';
import type { Repository } from './repository.ts';

/** Ids of what a root calls damaged: packs, indexes and manifests. */
export const damagedIn = ({ damaged }: Pick<RootDocument, 'damaged'>): ReadonlySet<string> =>
  new Set(damaged.map(({ id }) => id));

/**
 * The indexes of a root for who decides what is stored: one that the root calls damaged counts as absent, and any other
 * must be whole (`ObjectMissing`, `ObjectDamaged`).
 */
export function openIndexes(
  repository: Repository,
  root: Pick<RootDocument, 'indexes' | 'damaged'>,
  options: CallOptions = {},
): Promise<ChunkIndex[]> {
  const damaged = damagedIn(root);
  const whole = root.indexes.filter(({ id }) => !damaged.has(id));
  return Promise.all(whole.map((ref) => ChunkIndex.open(repository, ref, { ...options, damaged })));
}

/** The same for who only reads: of an index that is damaged or missing it takes what is left. */
export function openReadable(
  repository: Repository,
  root: Pick<RootDocument, 'indexes' | 'damaged'>,
  options: CallOptions = {},
): Promise<ChunkIndex[]> {
  const damaged = damagedIn(root);
  return Promise.all(
    root.indexes.map((ref) => ChunkIndex.open(repository, ref, { ...options, damaged, tolerant: true })),
  );
}
