import { setTimeout as pause } from 'node:timers/promises';
import { rootShape } from '../domain/documentShapes.ts';
import type { Holder, RootDocument } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import { HomarusError, hasCode } from '../domain/errors.ts';
import { damaged } from './block.ts';
import { takeUpDataKeys } from './dataKeys.ts';
import { blake3 } from './hash.ts';
import type { CallOptions, ListedObject } from './objectStore.ts';
import type { Repository } from './repository.ts';
import { checkedJson, firstObject, openJson, sealJson } from './repository.ts';
import type { RootAt } from './rootMemory.ts';

export type { RootAt } from './rootMemory.ts';

/** The pointer of a repository: the root with the highest number, moved by create-if-absent alone. */

export type Committed = { result: 'stands'; at: RootAt } | { result: 'lost'; highest: RootAt };

export interface CommitOptions extends CallOptions {
  /** How long a storage without an answer is asked again, ms. */
  patience?: number;
}

const knownFeatures: ReadonlySet<string> = new Set();
/** So many are kept for readers that are slow and for people who want to look back. */
const KEPT_ROOTS = 20;
const DEFAULT_PATIENCE = 60_000;
const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 5_000;

/**
 * What the repository holds now: one small listing, and one read when it is a root that was not read before.
 * `NoRepository` where there is none, `RolledBack` where the number fell below that of `cached`.
 */
export async function presentRoot(
  repository: Repository,
  options: CallOptions & { cached?: RootAt | undefined } = {},
): Promise<RootAt> {
  const { cached } = options;
  for (let missing = 0; ; ) {
    const highest = await highestListed(repository, cached ? cached.root.number : 0, options);
    if (highest === undefined) throw cached ? rolledBack(repository, cached) : await withoutRoot(repository, options);
    const { number, listed } = highest;
    if (number === cached?.root.number) return cached;
    const known = repository.roots.recall(number, listed);
    if (known) {
      await takeUpDataKeys(repository, known.root, options);
      return known;
    }
    const at = await readRoot(repository, number, options);
    if (at) {
      repository.roots.remember(at, listed);
      return at;
    }
    // It was swept after the listing, so there is a higher one by now.
    if (number === missing) {
      throw new HomarusError('ObjectMissing', `${listed.key} is listed but missing in ${where(repository)}`);
    }
    missing = number;
  }
}

/**
 * Moves the repository from `planned` to what `change` makes of it, or not at all. Whatever the storage answers, the
 * highest root decides: the commit stands if it is the one after `planned` and bears `nonce`, and is lost if it is any
 * other. Without an answer it is sent again, the same bytes, and is `CommitInDoubt` in the end. Each commit has a nonce
 * of its own; called again with it, on its first plan or its own result, it answers as before. Only the taking of the
 * lock is planned on a root without a holder: anything else is late (`LockLost`).
 */
export async function commit(
  repository: Repository,
  planned: RootAt,
  change: (draft: RootDocument) => RootDocument,
  nonce: string,
  options: CommitOptions = {},
): Promise<Committed> {
  const number = planned.root.number + 1;
  if (planned.root.nonce === nonce) return { result: 'stands', at: planned };
  const own = { number, previous: planned.hash, nonce, written: new Date().toISOString() };
  const key = keys.root(number);
  const next = { ...change({ ...planned.root, ...own }), ...own };
  if (planned.root.holder === null && next.epoch <= planned.root.epoch) throw lockLost(planned.root, next.epoch);
  const sealed = sealJson(repository, { kind: 'root', key }, next);
  const deadline = performance.now() + (options.patience ?? DEFAULT_PATIENCE);
  options.signal?.throwIfAborted();
  let unanswered = false;
  for (let wait = FIRST_PAUSE; ; wait = Math.min(2 * wait, LONGEST_PAUSE)) {
    let failure: unknown;
    let refusal: unknown;
    try {
      await repository.store.create(key, sealed, options);
    } catch (error) {
      failure = error;
      if (hasCode(error, 'StoreForbidden', 'StoreFull')) refusal = error;
      else unanswered = true;
    }
    try {
      const highest = await presentRoot(repository, { ...options, cached: planned });
      if (highest.root.number === number && highest.root.nonce === nonce) return { result: 'stands', at: highest };
      if (highest.root.number >= number) return { result: 'lost', highest };
      // Refused, not there, and no earlier request under way that could still arrive.
      if (refusal !== undefined && !unanswered) throw refusal;
    } catch (error) {
      if (error === refusal || hasCode(error, 'RolledBack', 'ObjectDamaged', 'RepositoryIncompatible')) throw error;
      failure ??= error;
    }
    if (options.signal?.aborted || performance.now() + wait > deadline) throw inDoubt(repository, key, failure);
    await pause(wait, undefined, options).catch(() => undefined);
  }
}

/**
 * Removes the roots that nobody needs any more, of those that were there when the present root was last looked for from
 * the beginning. Every holder of the lock does, and may at any time.
 */
export async function sweepRoots(repository: Repository, at: RootAt, options: CallOptions = {}): Promise<void> {
  const old = repository.roots.listed.filter((number) => number <= at.root.number - KEPT_ROOTS);
  if (old.length > 0) await repository.store.remove(old.map(keys.root), options);
}

export function lockLost(root: RootDocument, epoch: number): HomarusError {
  const now = root.holder ? `now held by ${describeHolder(root.holder)}` : 'now free';
  return new HomarusError(
    'LockLost',
    `the lock of cluster "${root.cluster}" (epoch ${epoch}) was lost: it is at epoch ${root.epoch} and ${now}`,
  );
}

/** For messages: `backup nightly (by cron), since 2025-01-01T00:00:00.000Z`. */
export function describeHolder(holder: Holder): string {
  return `${holder.kind} ${holder.operation} (by ${holder.by}), since ${holder.since}`;
}

async function highestListed(
  repository: Repository,
  from: number,
  options: CallOptions,
): Promise<{ number: number; listed: ListedObject } | undefined> {
  let highest: { number: number; listed: ListedObject } | undefined;
  const numbers: number[] = [];
  const after = from > 0 ? { after: keys.root(from - 1) } : {};
  for await (const listed of repository.store.list('roots/', { ...options, ...after })) {
    const number = numberOf(listed.key);
    if (number === undefined) continue;
    numbers.push(number);
    highest = { number, listed };
  }
  if (from === 0) repository.roots.listed = numbers;
  return highest;
}

function numberOf(key: string): number | undefined {
  return /^roots\/\d{16}$/.test(key) ? Number(key.slice('roots/'.length)) : undefined;
}

/** The root of this number; undefined when it was swept, or is not there yet. */
export async function readRoot(
  repository: Repository,
  number: number,
  options: CallOptions,
): Promise<RootAt | undefined> {
  const key = keys.root(number);
  const stored = await repository.store.read(key, undefined, options);
  if (stored === undefined) return undefined;
  const root = checkedRoot(key, number, openJson(repository, { kind: 'root', key }, stored));
  await takeUpDataKeys(repository, root, options);
  return { root, hash: blake3.hash([stored]).toString('hex'), length: stored.length };
}

function checkedRoot(key: string, number: number, document: unknown): RootDocument {
  const root = document as RootDocument;
  if (root?.version !== 1) {
    throw new HomarusError(
      'RepositoryIncompatible',
      `${key} has version ${root?.version}; this homarus reads version 1`,
    );
  }
  const unknown = Array.isArray(root.features) ? root.features.filter((feature) => !knownFeatures.has(feature)) : [];
  if (unknown.length > 0) {
    throw new HomarusError('RepositoryIncompatible', `${key} needs ${unknown.join(', ')}, unknown to this homarus`);
  }
  if (root.number !== number || !Array.isArray(root.features)) {
    throw damaged({ kind: 'root', key }, 'it is not a root of this number');
  }
  checkedJson({ kind: 'root', key }, root, rootShape);
  return root;
}

/** Why there is none. Objects without a root are not given up for a new repository. */
async function withoutRoot(repository: Repository, options: CallOptions): Promise<HomarusError> {
  const found = await firstObject(repository, options);
  return found === undefined
    ? new HomarusError('NoRepository', `${where(repository)} holds a repository that was never finished`, {
        hint: 'Run "homarus init" again: it finishes what was cut off.',
      })
    : lostRoots(repository, found);
}

export function lostRoots(repository: Pick<Repository, 'store'>, found: string): HomarusError {
  return new HomarusError(
    'ObjectMissing',
    `${where(repository)} has lost its roots, but holds ${found} and maybe more`,
    {
      hint: 'Change nothing there. "homarus repair" finds what can be restored.',
    },
  );
}

function rolledBack(repository: Repository, cached: RootAt): HomarusError {
  const { number } = cached.root;
  return new HomarusError('RolledBack', `${where(repository)} had root ${number} a moment ago, now it is gone`);
}

function inDoubt(repository: Repository, key: string, cause: unknown): HomarusError {
  const reason = cause instanceof Error ? cause.message : 'it was written, but is not listed';
  return new HomarusError(
    'CommitInDoubt',
    `whether ${key} was written to ${where(repository)} is not known: ${reason}`,
    {
      cause,
    },
  );
}

const where = (repository: Pick<Repository, 'store'>): string => repository.store.description;
