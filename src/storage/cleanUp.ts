import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { IndexRef, RootDocument } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import { HomarusError, isLoss } from '../domain/errors.ts';
import type { CleanupRequest, CleanupResult, StorageGrant } from '../domain/operations.ts';
import type { RetentionPolicy, Verdict } from '../domain/retention.ts';
import { judge } from '../domain/retention.ts';
import { named } from './backups.ts';
import type { LeftOut } from './garbage.ts';
import { cleaned, needsSweep, raiseFloor } from './garbage.ts';
import { indexesWithout } from './indexes.ts';
import { lockLost, releaseLock } from './lock.ts';
import { pinnedBackups } from './marks.ts';
import type { CallOptions } from './objectStore.ts';
import { damagedIn } from './openIndexes.ts';
import { markPacks } from './references.ts';
import type { Repository } from './repository.ts';
import type { RootAt } from './roots.ts';
import { commit, presentRoot, readRoot } from './roots.ts';
import { sweep } from './sweep.ts';

export interface CleanUpOptions extends CallOptions {
  retention: RetentionPolicy;
  /** For temporary files. */
  directory: string;
  /** ms since the epoch. */
  now: number;
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
 * One commit leaves out what goes and raises the floor; then garbage is deleted. A stop anywhere is finished by the next
 * cleanup, and one that finds nothing to do lists nothing. Called again after its commit it goes on from there.
 */
export async function cleanUp(
  repository: Repository,
  input: { grant: StorageGrant; nonce: string; request: CleanupRequest },
  options: CleanUpOptions,
): Promise<CleanupResult> {
  const { grant } = input;
  let at = await presentRoot(repository, options);
  if (at.root.epoch !== grant.epoch) throw lockLost(at.root, grant.epoch);
  const before = await readRoot(repository, grant.root, options);
  if (at.root.number === grant.root) at = await leaveOut(repository, at, input, options);
  const result: CleanupResult = {
    kept: at.root.backups.length,
    removedBackups: (before ?? at).root.backups.length - at.root.backups.length,
    deleted: 0,
    bytes: 0,
    retained: 0,
  };
  if (at.root.holder !== null && needsSweep(at.root)) {
    Object.assign(result, await sweep(repository, at, grant.epoch, options));
  }
  await releaseLock(repository, grant.epoch, `${input.nonce}-release`, { ...options, swept: true });
  return result;
}

/** The root without what retention or the request lets go; the same where there is nothing to change. */
async function leaveOut(
  repository: Repository,
  at: RootAt,
  { grant, nonce, request }: { grant: StorageGrant; nonce: string; request: CleanupRequest },
  options: CleanUpOptions,
): Promise<RootAt> {
  const orphans = request.orphans ?? false;
  for (;;) {
    const going = await leaving(repository, at, request, options);
    const floorRises = raiseFloor(at.root, [], orphans) > at.root.floor;
    const left =
      going.size > 0
        ? await withoutBackups(repository, at, going, grant.epoch, options)
        : await withoutHealed(repository, at, grant.epoch, options);
    if (going.size === 0 && !floorRises && left.indexes === undefined) return at;
    refuseDamagedIndex(repository, at.root, left.indexes ?? at.root.indexes);
    // Marks are made without a lock: what was pinned while we looked stays, and so does what it requires.
    const again = await leaving(repository, at, request, options);
    if ([...going].some((name) => !again.has(name))) continue;
    const outcome = await commit(repository, at, (root) => cleaned(root, { ...left, orphans }), nonce, options);
    if (outcome.result === 'lost') throw lockLost(outcome.highest.root, grant.epoch);
    return outcome.at;
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

/** What goes though no backup does: what the root calls damaged and backups have stored again since. */
async function withoutHealed(
  repository: Repository,
  at: RootAt,
  epoch: number,
  options: CleanUpOptions,
): Promise<LeftOut> {
  const none: LeftOut = { backups: new Set() };
  const damaged = damagedIn(at.root);
  if (!at.root.damaged.some(({ kind }) => kind !== 'manifest')) return none;
  try {
    const left = await withoutBackups(repository, at, none.backups, epoch, options);
    const staying = new Set(left.indexes?.map(({ id }) => id));
    const healed = [...(left.packs ?? [])].some((id) => damaged.has(id));
    return healed || at.root.indexes.some(({ id }) => damaged.has(id) && !staying.has(id)) ? left : none;
  } catch (error) {
    // What is lost may be a part of a tree: then it is not known what is needed, and all stays.
    if (isLoss(error)) return none;
    throw error;
  }
}

/** What goes with these backups: packs that no other needs, and the indexes that name them. */
async function withoutBackups(
  repository: Repository,
  at: RootAt,
  going: ReadonlySet<string>,
  epoch: number,
  options: CleanUpOptions,
): Promise<LeftOut> {
  const directory = await mkdtemp(join(options.directory, 'cleanup-'));
  try {
    // What a backup that is not whole needs is not known: until it goes every pack stays.
    if (at.root.aside?.some(({ name }) => !going.has(name))) return { backups: going };
    const staying = at.root.backups.filter(({ name }) => !going.has(name));
    const { unused, missing } = await markPacks(repository, at, staying, { ...options, directory });
    const damaged = damagedIn(at.root);
    // A damaged index is given up when all that is needed is named by others; until then it keeps what it named.
    const refs = at.root.indexes.filter(({ id }) => missing > 0 || !damaged.has(id));
    const indexes = await indexesWithout(repository, refs, unused, epoch, { ...options, damaged });
    return { backups: going, indexes, packs: unused };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
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
