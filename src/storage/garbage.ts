import type { DamagedObject, IndexRef, RootDocument, SpaceUse } from '../domain/documents.ts';
import { keys, padded } from '../domain/documents.ts';
import { hasCode } from '../domain/errors.ts';
import type { PackRef } from './chunkIndex.ts';
import { ChunkIndex } from './chunkIndex.ts';
import { epochOf } from './ids.ts';
import type { CallOptions } from './objectStore.ts';
import { damagedIn } from './openIndexes.ts';
import { readPackFooter } from './pack.ts';
import type { Repository } from './repository.ts';

/**
 * What is garbage, and what may be adopted. An object that the root does not lead to and whose epoch is at or below the
 * floor is garbage for ever; one above the floor belongs to whoever names it next.
 */

/** What a cleanup leaves out of the root that its lock was taken with. */
export interface LeftOut {
  /** Names. */
  backups: ReadonlySet<string>;
  /** All that stand instead of the root's. */
  indexes?: readonly IndexRef[];
  /** Ids of packs that the new indexes do not name. */
  packs?: Iterable<string>;
  /** Give up what died backups left, too. */
  orphans?: boolean;
  /** What was found damaged on the way. */
  damaged?: readonly DamagedObject[];
  /** What the packs hold then; null: it is not known. */
  space?: SpaceUse | null | undefined;
}

/** The root after a cleanup: without what it leaves out, and with a floor that makes garbage of it. */
export function cleaned(lockRoot: RootDocument, leftOut: LeftOut): RootDocument {
  const dropped = [...lockRoot.backups, ...(lockRoot.aside ?? [])].filter(({ name }) => leftOut.backups.has(name));
  const packs = new Set(leftOut.packs);
  const epochs = [
    ...dropped.map(({ epoch }) => epoch),
    ...[...packs].map((id) => epochOf(keys.pack(id)) as number),
    ...replacedEpochs(lockRoot, leftOut.indexes),
  ];
  const gone = new Set([...dropped.map(({ id }) => id), ...packs]);
  const next = replaceIndexes(lockRoot, leftOut.indexes ?? lockRoot.indexes);
  return {
    ...next,
    backups: lockRoot.backups.filter(({ name }) => !leftOut.backups.has(name)),
    ...withoutAside(lockRoot, leftOut.backups),
    damaged: [...next.damaged.filter(({ id }) => !gone.has(id)), ...(leftOut.damaged ?? [])],
    ...(leftOut.space === undefined ? {} : { space: leftOut.space }),
    floor: raiseFloor(lockRoot, epochs, leftOut.orphans),
    swept: lowerSwept(next.swept, epochs),
  };
}

function withoutAside({ aside = [] }: RootDocument, names: ReadonlySet<string>): Pick<RootDocument, 'aside'> {
  return aside.length > 0 ? { aside: aside.filter(({ name }) => !names.has(name)) } : {};
}

/** The root with these indexes instead of its own; what it then leads to no more waits for the next sweep. */
export function replaceIndexes(root: RootDocument, indexes: readonly IndexRef[]): RootDocument {
  const staying = new Set(indexes.map(({ id }) => id));
  const replaced = new Set(root.indexes.map(({ id }) => id).filter((id) => !staying.has(id)));
  return {
    ...root,
    indexes: [...indexes],
    damaged: root.damaged.filter(({ id }) => !replaced.has(id)),
    swept: lowerSwept(root.swept, replacedEpochs(root, indexes)),
  };
}

/**
 * The highest epoch among the backups that the lock's root lists and the objects that are left out: all that a backup
 * which died since then stored stays above it. With `orphans` the epoch of the lock itself.
 */
export function raiseFloor(lockRoot: RootDocument, leftOut: readonly number[], orphans = false): number {
  const listed = lockRoot.backups.map(({ epoch }) => epoch);
  return [...listed, ...leftOut].reduce(higher, orphans ? higher(lockRoot.floor, lockRoot.epoch) : lockRoot.floor);
}

/** True when there may be garbage that no sweep has seen. */
export const needsSweep = (root: RootDocument): boolean => root.swept < root.floor;

/** The keys of all manifests, indexes and packs that a root leads to. */
export async function ledTo(repository: Repository, root: RootDocument, options?: CallOptions): Promise<Set<string>> {
  // A damaged index must stop whoever asks: what it led to is not known.
  return knownLedTo(repository, root, root.indexes, options);
}

async function knownLedTo(
  repository: Repository,
  { backups, aside = [] }: RootDocument,
  indexes: readonly IndexRef[],
  options?: CallOptions,
): Promise<Set<string>> {
  const led = new Set([...backups, ...aside].map(({ name, id }) => keys.manifest(name, id)));
  for (const ref of indexes) {
    led.add(keys.index(ref.id));
    const index = await ChunkIndex.open(repository, ref, options);
    for (const pack of index.packs) led.add(keys.pack(pack.id));
  }
  return led;
}

export interface Orphan {
  pack: PackRef;
  /** As in an index, with pack 0. */
  entries: Buffer;
}

/** Whole packs of backups that died: above the floor, and no index names them. `root` is that of the lock. */
export async function* findOrphans(
  repository: Repository,
  root: RootDocument,
  options: CallOptions = {},
): AsyncGenerator<Orphan> {
  const damaged = damagedIn(root);
  // What a damaged index named is named again: its packs are as good as those of a backup that died.
  const whole = root.indexes.filter(({ id }) => !damaged.has(id));
  const led = await knownLedTo(repository, root, whole, options);
  // '~' comes after every digit: the listing starts with the first pack above the floor.
  const after = `packs/${padded(root.floor)}/~`;
  for await (const { key, size } of repository.store.list('packs/', { ...options, after })) {
    const epoch = epochOf(key);
    const id = key.slice('packs/'.length);
    if (epoch === undefined || epoch <= root.floor || led.has(key) || damaged.has(id)) continue;
    try {
      yield await readPackFooter(repository, { id, length: size }, options);
    } catch (error) {
      if (!hasCode(error, 'ObjectDamaged', 'ObjectMissing')) throw error;
    }
  }
}

/** Epochs of the indexes that `indexes` does not hold any more. */
function replacedEpochs(root: RootDocument, indexes: readonly IndexRef[] = root.indexes): number[] {
  const staying = new Set(indexes.map(({ id }) => id));
  return root.indexes.filter(({ id }) => !staying.has(id)).map(({ epoch }) => epoch);
}

/** `swept` says that no garbage is left at or below it; what is left out now is garbage as soon as the floor is there. */
const lowerSwept = (swept: number, epochs: readonly number[]): number =>
  epochs.reduce((lowest, epoch) => Math.min(lowest, epoch - 1), swept);

const higher = (a: number, b: number): number => Math.max(a, b);
