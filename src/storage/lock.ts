import type { Holder, LeaseDocument, RootDocument, SpaceUse } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import { HomarusError } from '../domain/errors.ts';
import type { CallOptions } from './objectStore.ts';
import type { Repository } from './repository.ts';
import { sealJson } from './repository.ts';
import type { CommitOptions, RootAt } from './roots.ts';
import { commit, describeHolder, lockLost, presentRoot, sweepRoots } from './roots.ts';

export { lockLost } from './roots.ts';

/**
 * The storage's part of the cluster lock: an epoch and its holder in the root, and a lease for politeness. Who is right
 * is decided by commits alone; clocks (the storage's) decide who waits.
 */
export interface AcquireOptions extends CommitOptions {
  /** The same when the call is repeated. */
  nonce: string;
  /** The cluster that wants it, where it is not that of `repository.json`: only the one that the root names may. */
  cluster?: string;
  /** The present root, where it was read just now. */
  present?: RootAt;
}

/**
 * Takes the lock with a new epoch. `LockHeld` while another operation holds it and its lease is fresh; an earlier attempt
 * of the same operation is superseded at once. The same run that asks again is answered its own epoch.
 */
export async function acquireLock(
  repository: Repository,
  holder: Holder,
  options: AcquireOptions,
): Promise<{ at: RootAt; epoch: number }> {
  let at = options.present ?? (await presentRoot(repository, options));
  while (at.root.holder?.run !== holder.run) {
    await refuseOthers(repository, at, holder, options);
    const committed = await commit(repository, at, (draft) => locked(draft, holder), options.nonce, options);
    at = committed.result === 'stands' ? committed.at : committed.highest;
  }
  const { epoch } = at.root;
  await writeLease(repository, epoch, holder, options);
  await sweepRoots(repository, at, options);
  return { at, epoch };
}

/**
 * Says that the holder lives. `released` when its own operation gave the lock back: then nothing is written. `LockLost`
 * when another epoch is there.
 */
export async function refreshLock(
  repository: Repository,
  epoch: number,
  holder: Holder,
  options: CallOptions & { present?: RootAt | undefined } = {},
): Promise<'refreshed' | 'released'> {
  const { root } = options.present ?? (await presentRoot(repository, options));
  if (root.epoch !== epoch) throw lockLost(root, epoch);
  if (root.holder?.run !== holder.run) return 'released';
  await writeLease(repository, epoch, holder, options);
  return 'refreshed';
}

/**
 * Gives the lock of this epoch back, if it is still there. `swept` says that all garbage up to the floor is gone (see
 * `sweep`), `space` what a marking found. The commit takes the number for which a sleeping commit of the same attempt may still be under way.
 */
export async function releaseLock(
  repository: Repository,
  epoch: number,
  nonce: string,
  options: CommitOptions & { swept?: boolean; space?: SpaceUse | null | undefined; present?: RootAt } = {},
): Promise<void> {
  const { swept, space } = options;
  const change = (draft: RootDocument): RootDocument =>
    released({ ...draft, ...(swept ? { swept: draft.floor } : {}), ...(space === undefined ? {} : { space }) });
  let at = options.present ?? (await presentRoot(repository, options));
  while (at.root.epoch === epoch && at.root.holder !== null) {
    const committed = await commit(repository, at, change, nonce, options);
    at = committed.result === 'stands' ? committed.at : committed.highest;
  }
}

const locked = (draft: RootDocument, holder: Holder): RootDocument => ({ ...draft, epoch: draft.epoch + 1, holder });

/** The root without a holder: an operation's last commit releases the lock with it. */
export const released = (draft: RootDocument): RootDocument => ({ ...draft, holder: null });

async function refuseOthers(
  repository: Repository,
  at: RootAt,
  wanting: Holder,
  options: AcquireOptions,
): Promise<void> {
  const { cluster, holder } = at.root;
  const own = options.cluster ?? repository.parameters.cluster;
  if (cluster !== own) {
    throw new HomarusError(
      'ForeignRepository',
      `${repository.store.description} belongs to cluster "${cluster}", not to "${own}"`,
    );
  }
  if (holder === null) return;
  // Attempts of one operation follow each other; a late request of an earlier one must not supersede a later one.
  if (holder.operation === wanting.operation && holder.since <= wanting.since) return;
  if (await isFresh(repository, at, holder, options)) {
    throw new HomarusError('LockHeld', `cluster "${cluster}" is locked by ${describeHolder(holder)}`);
  }
}

/** Who wrote no lease yet has one lock time for it, from the root that took the lock on. */
async function isFresh(repository: Repository, at: RootAt, holder: Holder, options: CallOptions): Promise<boolean> {
  const { store } = repository;
  const lease = await store.stat(keys.lease(at.root.epoch), options);
  const seen = lease ?? (await store.stat(keys.root(at.root.number), options));
  // Neither: the root was swept, so it is not the present one any more.
  return seen === undefined || (await store.now()) < seen.modified + holder.ttl;
}

async function writeLease(repository: Repository, epoch: number, holder: Holder, options: CallOptions): Promise<void> {
  const lease: LeaseDocument = { version: 1, epoch, holder, ttl: holder.ttl, refreshed: new Date().toISOString() };
  const key = keys.lease(epoch);
  // Plain, so that people can look; not where it would tell them who works here.
  const bytes = repository.sealing.keys
    ? sealJson(repository, { kind: 'lease', key }, lease)
    : Buffer.from(JSON.stringify(lease));
  await repository.store.overwrite(key, bytes, options);
}
