import type { RootDocument } from '../domain/documents.ts';
import { generationOf } from './block.ts';
import { cleaned } from './garbage.ts';
import { lockLost } from './lock.ts';
import type { CallOptions } from './objectStore.ts';
import { damagedIn, openIndexes } from './openIndexes.ts';
import type { PackRef } from './pack.ts';
import type { Repository } from './repository.ts';
import type { CommitOptions, RootAt } from './roots.ts';
import { commit } from './roots.ts';
import type { TidyOptions } from './tidyPacks.ts';
import { rewritePacks } from './tidyPacks.ts';

/**
 * Puts what former data keys seal under the present one, some packs and one commit at a time: what a stop leaves behind is
 * as good as what was there before, and the next cleanup goes on. The root says that it is to be done (`keys.rewriteBelow`)
 * until it is; indexes are written anew with the packs that they name, all other objects are not sealed with data keys.
 */

export interface ReencryptInput {
  /** That of the lock's holder. */
  epoch: number;
  /** The same when the call is repeated; each commit adds the number of the root that it is planned on. */
  nonce: string;
  /** So many bytes at most; null: as many as there are. */
  mostBytes: number | null;
  /** And so many in one commit: so much of its work is lost in a stop, and so much storage is needed beside the old packs. */
  atOnce?: number | undefined;
}

export interface Reencrypted {
  at: RootAt;
  /** Packs that were rewritten, their bytes, and those of the new ones. */
  packs: number;
  oldBytes: number;
  bytes: number;
  damaged: { id: string; why: string }[];
}

const GIB = 1024 ** 3;
/** Each commit reads all indexes, and may write them anew: less would cost more of that. */
const AT_ONCE = 16 * GIB;

/** The packs that are to be rewritten because former data keys seal them. */
export async function formerPacks(
  repository: Repository,
  root: RootDocument,
  options: CallOptions = {},
): Promise<PackRef[]> {
  const below = root.keys?.rewriteBelow;
  if (below === undefined) return [];
  const former = new Map<string, PackRef>();
  for (const { packs } of await openIndexes(repository, root, options)) {
    for (const pack of packs) if (generationOf(pack.seal) < below) former.set(pack.id, pack);
  }
  return [...former.values()];
}

/**
 * One commit towards that end, which the caller's sweep may follow. Undefined when there is nothing to do, or nothing
 * that may be done: damaged packs stay, and so does every pack while an index is damaged.
 */
export async function reencryptSome(
  repository: Repository,
  at: RootAt,
  { epoch, nonce, mostBytes, atOnce = AT_ONCE }: ReencryptInput,
  options: TidyOptions & CommitOptions,
): Promise<Reencrypted | undefined> {
  const { root } = at;
  const damaged = damagedIn(root);
  if (root.keys?.rewriteBelow === undefined || root.indexes.some(({ id }) => damaged.has(id))) return undefined;
  const former = await formerPacks(repository, root, options);
  const sound = former.filter(({ id }) => !damaged.has(id));
  const chosen = upTo(sound, { atOnce, most: mostBytes ?? Number.POSITIVE_INFINITY });
  if (chosen.length === 0 && former.length > 0) return undefined;
  const ids = new Set(chosen.map(({ id }) => id));
  const { left, ...rewritten } = await rewritePacks(repository, root, { ids, epoch }, options);
  const isDone = chosen.length === former.length && rewritten.damaged.length === 0;
  const leftOut = {
    backups: new Set<string>(),
    ...left,
    // What a died backup left is sealed with the former key, too, and is not to be adopted any more.
    orphans: isDone,
    damaged: rewritten.damaged.map(({ id }) => ({ kind: 'pack' as const, id })),
  };
  const change = (draft: RootDocument): RootDocument => (isDone ? withoutWish : same)(cleaned(draft, leftOut));
  const outcome = await commit(repository, at, change, `${nonce}-keys-${root.number}`, options);
  if (outcome.result === 'lost') throw lockLost(outcome.highest.root, epoch);
  return { at: outcome.at, ...rewritten, oldBytes: chosen.reduce((all, { length }) => all + length, 0) };
}

/** The first packs: until they have `atOnce` bytes together, and never more than `most`. */
function upTo(packs: readonly PackRef[], { atOnce, most }: { atOnce: number; most: number }): PackRef[] {
  const chosen: PackRef[] = [];
  let bytes = 0;
  for (const pack of packs) {
    if (bytes >= atOnce || bytes + pack.length > most) break;
    bytes += pack.length;
    chosen.push(pack);
  }
  return chosen;
}

const same = (root: RootDocument): RootDocument => root;

function withoutWish({ keys, ...root }: RootDocument): RootDocument {
  const { rewriteBelow: _, ...staying } = keys as NonNullable<RootDocument['keys']>;
  return { ...root, keys: staying };
}
