import type { BackupEntry, IndexRef, RootDocument, SpaceUse } from '../domain/documents.ts';
import type { RewriteLimits } from '../domain/requests.ts';
import type { LeftOut } from './garbage.ts';
import { indexesWithout } from './indexes.ts';
import { openUnion } from './indexUnion.ts';
import { damagedIn } from './openIndexes.ts';
import type { PackRef } from './pack.ts';
import type { PackUse } from './packUse.ts';
import { packsToRewrite, spaceOf, usePacks } from './packUse.ts';
import type { ChunkUse } from './references.ts';
import { markChunks } from './references.ts';
import type { RepackInput, RepackOptions } from './repack.ts';
import { repack } from './repack.ts';
import type { Repository } from './repository.ts';

/** Which packs go, which are rewritten, and the indexes that are true of it: all that is stored before a commit. */

export interface TidyOptions extends Omit<RepackOptions, 'onProgress'> {
  onProgress?: (step: 'marking what is used' | 'rewriting packs', done: number, total: number) => void;
}

export interface Rewritten {
  /** What the root leaves out, and the indexes that it names then. Neither where nothing changes. */
  left: Pick<LeftOut, 'indexes' | 'packs'>;
  /** How many packs were rewritten, and the bytes of the new ones. */
  packs: number;
  bytes: number;
  /** Packs of which something did not verify. They stay. */
  damaged: { id: string; why: string }[];
}

const NOTHING: Rewritten = { left: {}, packs: 0, bytes: 0, damaged: [] };

/** Drops the packs that no staying backup needs and rewrites those of which too little is needed. */
export async function tidyPacks(
  repository: Repository,
  root: RootDocument,
  { staying, epoch, limits }: { staying: readonly BackupEntry[]; epoch: number; limits: RewriteLimits },
  options: TidyOptions,
): Promise<{ rewritten: Rewritten; space: SpaceUse | null }> {
  const found = await lookAtPacks(repository, root, { staying, limits }, options);
  if (found === undefined) return { rewritten: NOTHING, space: null };
  const { use, uses, sound, whole } = found;
  const numbersOf = (some: ReadonlySet<PackUse>): Set<number> =>
    new Set(uses.flatMap((one, number) => (some.has(one) ? [number] : [])));
  const packs = numbersOf(found.chosen);
  const dropped = numbersOf(found.dropped);
  const { uses: added, ...rewritten } = await rewrite(
    repository,
    root,
    { ...use, packs, dropped, epoch },
    whole,
    options,
  );
  const gone = new Set(rewritten.left.packs);
  const left = sound.filter(({ pack }) => !gone.has(pack.id));
  // Null: the next cleanup looks again.
  const { size } = repository.parameters.pack;
  return { rewritten, space: rewritten.damaged.length > 0 ? null : spaceOf([...left, ...added], size, epoch) };
}

export interface PacksFound {
  use: ChunkUse;
  /** In the order of `use.union.packs`; of these, those that the root does not call damaged. */
  uses: PackUse[];
  sound: PackUse[];
  /** To be rewritten, and to be dropped. */
  chosen: ReadonlySet<PackUse>;
  dropped: ReadonlySet<PackUse>;
  /** The root's indexes but for damaged ones. */
  whole: IndexRef[];
}

/** Marks what the staying backups need, and chooses. Undefined where a damaged index may name some of it: all stays then. */
export async function lookAtPacks(
  repository: Repository,
  root: RootDocument,
  { staying, limits }: { staying: readonly BackupEntry[]; limits: RewriteLimits },
  options: TidyOptions,
): Promise<PacksFound | undefined> {
  const { size, block } = repository.parameters.pack;
  const damaged = damagedIn(root);
  const whole = root.indexes.filter(({ id }) => !damaged.has(id));
  const onProgress = (done: number, total: number): void => options.onProgress?.('marking what is used', done, total);
  const use = await markChunks(repository, root, staying, { ...options, onProgress });
  // A damaged index is given up when all that is needed is named by others; until then it keeps what it named.
  if (use.missing > 0 && whole.length < root.indexes.length) return undefined;
  const uses = await usePacks(use, { block, damaged }, options);
  const sound = uses.filter(({ pack }) => !damaged.has(pack.id));
  const chosen = new Set(packsToRewrite(sound, size, limits));
  const dropped = new Set(uses.filter(({ chunks, copies }) => chunks + copies === 0));
  return { use, uses, sound, chosen, dropped, whole };
}

/** Rewrites some packs (ids) with all that the root's indexes name in them. */
export async function rewritePacks(
  repository: Repository,
  root: RootDocument,
  { ids, epoch }: { ids: ReadonlySet<string>; epoch: number },
  options: TidyOptions,
): Promise<Rewritten> {
  const union = await openUnion(repository, root, options);
  const packs = new Set([...union.packs.keys()].filter((number) => ids.has(union.packs[number]?.id ?? '')));
  const { uses: _, ...rewritten } = await rewrite(
    repository,
    root,
    { union, packs, dropped: new Set(), isUsed: () => true, epoch },
    root.indexes,
    options,
  );
  return rewritten;
}

async function rewrite(
  repository: Repository,
  root: RootDocument,
  input: RepackInput,
  /** The root's indexes but for those that are given up. */
  refs: readonly IndexRef[],
  options: TidyOptions,
): Promise<Rewritten & { uses: PackUse[] }> {
  const onProgress = (done: number, total: number): void => options.onProgress?.('rewriting packs', done, total);
  const { uses, entries, moved, damaged } = await repack(repository, input, { ...options, onProgress });
  try {
    // What did not verify may stand whole in a pack that is dropped as a copy: the next cleanup knows, and counts that one.
    const dropped = damaged.length > 0 ? [] : [...input.dropped];
    const unused = dropped.map((number) => (input.union.packs[number] as PackRef).id);
    const packs = new Set([...unused, ...moved]);
    const counts = { packs: moved.size, bytes: uses.reduce((all, { pack }) => all + pack.length, 0), damaged, uses };
    if (packs.size === 0 && uses.length === 0 && refs.length === root.indexes.length) return { left: {}, ...counts };
    const added = uses.length > 0 ? { packs: uses.map(({ pack }) => pack), entries: entries.sorted() } : undefined;
    const known = { ...options, damaged: damagedIn(root), added };
    const indexes = await indexesWithout(repository, refs, packs, input.epoch, known);
    return { left: { indexes, packs }, ...counts };
  } finally {
    entries.close();
  }
}
