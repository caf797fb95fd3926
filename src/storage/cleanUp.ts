import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { IndexRef, RootDocument, SpaceUse } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import { HomarusError, isLoss } from '../domain/errors.ts';
import type { StorageGrant } from '../domain/operations.ts';
import type { CleanupRequest, RewriteLimits } from '../domain/requests.ts';
import type { CleanupResult } from '../domain/results.ts';
import type { RetentionPolicy, Verdict } from '../domain/retention.ts';
import { judge } from '../domain/retention.ts';
import { named } from './backups.ts';
import type { LeftOut } from './garbage.ts';
import { cleaned, needsSweep, raiseFloor } from './garbage.ts';
import { lockLost, releaseLock } from './lock.ts';
import { pinnedBackups } from './marks.ts';
import type { CallOptions } from './objectStore.ts';
import { damagedIn } from './openIndexes.ts';
import { isWasteful } from './packUse.ts';
import type { PackWork } from './packWork.ts';
import { formerPacks, reencryptSome } from './reencrypt.ts';
import type { Repository } from './repository.ts';
import type { RootAt } from './roots.ts';
import { commit, presentRoot, readRoot } from './roots.ts';
import { sweep } from './sweep.ts';
import { tidyPacks } from './tidyPacks.ts';

/** What a cleanup is at: with bytes done and to be done, the latter 0 where it is not known. */
export type CleanupStep = 'marking what is used' | 'rewriting packs' | 'deleting garbage';

export interface CleanUpOptions extends CallOptions {
  retention: RetentionPolicy;
  rewrite: RewriteLimits;
  /** For temporary files. */
  directory: string;
  /** ms since the epoch. */
  now: number;
  /** Bytes of packs that a re-encryption rewrites in one commit, if not as many as it does by itself. */
  atOnce?: number;
  work?: PackWork;
  onProgress?: (step: CleanupStep, done: number, total: number) => void;
  onWarning?: (message: string) => void;
}

export interface CleanUpInput {
  grant: StorageGrant;
  nonce: string;
  request: CleanupRequest;
}

/** What retention, or a request by name, says of each backup; reads the marks anew. `BackupNotFound` for unknown names. */
export async function verdicts(
  repository: Repository,
  at: RootAt,
  request: Pick<CleanupRequest, 'retention' | 'backups'>,
  options: CallOptions & { retention: RetentionPolicy; now: number },
): Promise<Verdict[]> {
  const unknown = (request.backups ?? []).filter((name) => named(at.root, name) === undefined);
  if (unknown.length > 0) {
    throw new HomarusError('BackupNotFound', `there is no backup ${unknown.join(', ')} of cluster ${at.root.cluster}`);
  }
  const pinned = await pinnedBackups(repository, options);
  const backups = at.root.backups.map((entry) => ({ ...entry, held: pinned.get(entry.name) }));
  const policy = request.retention ?? options.retention;
  // What a repair set aside goes only when it is named.
  const aside = (at.root.aside ?? []).filter(({ name }) => request.backups?.includes(name));
  return [
    ...judge(backups, policy, options.now, request.backups ? { delete: request.backups } : {}),
    ...aside.map(({ name, why }) => ({ name, keep: false, reasons: [`set aside: ${why}`] })),
  ];
}

/**
 * One commit leaves out what goes, with the packs that were rewritten, and raises the floor; then garbage is deleted. What
 * former data keys seal and should not follows in commits of its own. A stop anywhere is finished by the next cleanup, and
 * one that finds nothing to do lists and reads nothing but roots and marks. Called again after its commit it goes on from there.
 */
export async function cleanUp(
  repository: Repository,
  input: CleanUpInput,
  options: CleanUpOptions,
): Promise<CleanupResult> {
  const { grant } = input;
  const present = await presentRoot(repository, options);
  if (present.root.epoch !== grant.epoch) throw lockLost(present.root, grant.epoch);
  const isCommitted = present.root.number !== grant.root;
  const before = isCommitted ? await readRoot(repository, grant.root, options) : present;
  const { at, space, ...rewritten } = isCommitted
    ? { at: present, ...NOTHING }
    : await leaveOut(repository, present, input, options);
  const known = space === undefined ? at.root.space : space;
  const result: CleanupResult = {
    kept: at.root.backups.length,
    removedBackups: (before ?? at).root.backups.length - at.root.backups.length,
    ...{ deleted: 0, bytes: 0, retained: 0 },
    ...rewritten,
    space: known ? { used: known.used, unused: known.unused } : null,
    formerKeys: null,
  };
  let last = at;
  if (last.root.holder !== null) {
    await deleteGarbage(repository, last, grant.epoch, result, options);
    last = await reencrypt(repository, last, input, result, options);
  }
  const release = { ...options, present: last, swept: true, space };
  await releaseLock(repository, grant.epoch, `${input.nonce}-release`, release);
  return result;
}

/** Adds what it deleted to `result`. */
async function deleteGarbage(
  repository: Repository,
  at: RootAt,
  epoch: number,
  result: CleanupResult,
  options: CleanUpOptions,
): Promise<void> {
  if (!needsSweep(at.root)) return;
  const onProgress = ({ bytes }: { bytes: number }): void => options.onProgress?.('deleting garbage', bytes, 0);
  const swept = await sweep(repository, at, epoch, { ...options, onProgress });
  for (const count of ['deleted', 'bytes', 'retained'] as const) result[count] += swept[count];
}

/** Where the root wants it, puts what former data keys seal under the present one, as much as may still be moved. */
async function reencrypt(
  repository: Repository,
  at: RootAt,
  { grant, nonce, request }: CleanUpInput,
  result: CleanupResult,
  options: CleanUpOptions,
): Promise<RootAt> {
  if (at.root.keys?.rewriteBelow === undefined) return at;
  const { maxRepackBytes } = { ...options.rewrite, ...request.rewrite };
  let mostBytes = maxRepackBytes === null ? null : maxRepackBytes - result.rewrittenBytes;
  let present = at;
  const directory = await mkdtemp(join(options.directory, 'cleanup-'));
  try {
    for (;;) {
      const input = { epoch: grant.epoch, nonce, mostBytes, atOnce: options.atOnce };
      const done = await reencryptSome(repository, present, input, { ...options, directory });
      if (done === undefined) break;
      present = done.at;
      tell(done.damaged, options);
      if (mostBytes !== null) mostBytes -= done.oldBytes;
      result.rewrittenPacks += done.packs;
      result.rewrittenBytes += done.bytes;
      result.damagedPacks += done.damaged.length;
      await deleteGarbage(repository, present, grant.epoch, result, options);
    }
    const left = await formerPacks(repository, present.root, options);
    result.formerKeys = { packs: left.length, bytes: left.reduce((all, { length }) => all + length, 0) };
    return present;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function tell(damaged: readonly { id: string; why: string }[], options: CleanUpOptions): void {
  for (const { id, why } of damaged) options.onWarning?.(`pack ${id} stays as it is: ${why}`);
}

/** What a cleanup did about packs before its commit. */
type Tidied = Pick<CleanupResult, 'rewrittenPacks' | 'rewrittenBytes' | 'damagedPacks'> & {
  /** Undefined when nothing was marked. */
  space?: SpaceUse | null;
};

const NOTHING: Tidied = { rewrittenPacks: 0, rewrittenBytes: 0, damagedPacks: 0 };

/** The root without what retention or the request lets go; the same where there is nothing to change. */
async function leaveOut(
  repository: Repository,
  at: RootAt,
  { grant, nonce, request }: CleanUpInput,
  options: CleanUpOptions,
): Promise<Tidied & { at: RootAt }> {
  const limits = { ...options.rewrite, ...request.rewrite };
  const orphans = request.orphans ?? false;
  for (;;) {
    const going = await leaving(repository, at, request, options);
    const { left, ...counts } = isWorthALook(at.root, going, limits)
      ? await tidied(repository, at.root, going, { epoch: grant.epoch, limits }, options)
      : { left: {}, ...NOTHING };
    const changes = going.size > 0 || left.indexes !== undefined || (left.damaged?.length ?? 0) > 0;
    if (!changes && raiseFloor(at.root, [], orphans) <= at.root.floor) return { at, ...counts };
    refuseDamagedIndex(repository, at.root, left.indexes ?? at.root.indexes);
    // Marks are made without a lock: what was pinned while we looked stays, and so does what it requires.
    const again = await leaving(repository, at, request, options);
    if ([...going].some((name) => !again.has(name))) continue;
    const leftOut = { backups: going, orphans, ...left, space: counts.space };
    const outcome = await commit(repository, at, (root) => cleaned(root, leftOut), nonce, options);
    if (outcome.result === 'lost') throw lockLost(outcome.highest.root, grant.epoch);
    return { at: outcome.at, ...counts };
  }
}

/** Whether a cleanup marks what is used: it costs what reading all trees does. */
export const isWorthALook = (root: RootDocument, going: ReadonlySet<string>, limits: RewriteLimits): boolean =>
  going.size > 0 || mayWaste(root, limits) || isHurt(root);

/** Whether there may be more to gain than the last cleanup left: it left much, or something was added since. */
function mayWaste({ space, backups, indexes }: RootDocument, limits: RewriteLimits): boolean {
  const added = [...backups, ...indexes].some(({ epoch }) => epoch > (space?.epoch ?? 0));
  return added || (space ? isWasteful(space, limits) : space === null);
}

/** What the root calls damaged may have been stored again since. */
const isHurt = ({ damaged }: RootDocument): boolean => damaged.some(({ kind }) => kind !== 'manifest');

async function tidied(
  repository: Repository,
  root: RootDocument,
  going: ReadonlySet<string>,
  { epoch, limits }: { epoch: number; limits: RewriteLimits },
  options: CleanUpOptions,
): Promise<Tidied & { left: Partial<LeftOut> }> {
  // What a backup that is not whole needs is not known: until it goes every pack stays.
  if (root.aside?.some(({ name }) => !going.has(name))) return { left: {}, ...NOTHING, space: null };
  const directory = await mkdtemp(join(options.directory, 'cleanup-'));
  try {
    const staying = root.backups.filter(({ name }) => !going.has(name));
    const input = { staying, epoch, limits };
    const { rewritten, space } = await tidyPacks(repository, root, input, { ...options, directory });
    const { left, packs, bytes, damaged } = rewritten;
    tell(damaged, options);
    return {
      left: { ...left, damaged: damaged.map(({ id }) => ({ kind: 'pack', id })) },
      ...{ rewrittenPacks: packs, rewrittenBytes: bytes, damagedPacks: damaged.length, space },
    };
  } catch (error) {
    // What is lost may be a part of a tree: then it is not known what is needed, and all stays.
    if (going.size === 0 && isLoss(error)) return { left: {}, ...NOTHING, space: null };
    throw error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function leaving(
  repository: Repository,
  at: RootAt,
  request: CleanupRequest,
  options: CleanUpOptions,
): Promise<ReadonlySet<string>> {
  const judged = await verdicts(repository, at, request, options);
  return new Set(judged.filter(({ keep }) => !keep).map(({ name }) => name));
}

/** Which packs can go is not known where an index that may name them is lost: then nothing goes. */
function refuseDamagedIndex({ store }: Repository, root: RootDocument, staying: readonly IndexRef[]): void {
  const damaged = damagedIn(root);
  const lost = staying.find(({ id }) => damaged.has(id));
  if (lost === undefined) return;
  throw new HomarusError(
    'ObjectDamaged',
    `${keys.index(lost.id)} in ${store.description} is damaged, and no other index names all that backups need: ` +
      'which packs can go is not known, so nothing was removed',
    {
      hint: 'A backup stores again what its nodes still have; "homarus verify" says what is lost, "homarus repair" builds indexes anew.',
    },
  );
}
