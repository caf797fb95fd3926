import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BackupEntry } from '../domain/documents.ts';
import { HomarusError } from '../domain/errors.ts';
import type { CleanupRequest, CleanupResult, StorageGrant } from '../domain/operations.ts';
import type { RetentionPolicy, Verdict } from '../domain/retention.ts';
import { judge } from '../domain/retention.ts';
import { cleaned, needsSweep } from './garbage.ts';
import { indexesWithout } from './indexes.ts';
import { lockLost, releaseLock } from './lock.ts';
import { listMarks } from './marks.ts';
import type { CallOptions } from './objectStore.ts';
import { markPacks } from './references.ts';
import type { Repository } from './repository.ts';
import type { RootAt } from './roots.ts';
import { commit, presentRoot } from './roots.ts';
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
  const unknown = (request.backups ?? []).filter((name) => !at.root.backups.some((entry) => entry.name === name));
  if (unknown.length > 0) {
    throw new HomarusError('BackupNotFound', `there is no backup ${unknown.join(', ')} of cluster ${at.root.cluster}`);
  }
  const pinned = new Set((await listMarks(repository, options)).map((mark) => mark.backup));
  const backups = at.root.backups.map((entry) => ({ ...entry, pinned: pinned.has(entry.name) }));
  const policy = request.retention ?? options.retention;
  return judge(backups, policy, options.now, request.backups ? { delete: request.backups } : {});
}

/**
 * One commit leaves out what goes and raises the floor; then garbage is deleted. A stop anywhere is finished by the next
 * cleanup, and one that finds nothing to do lists nothing.
 */
export async function cleanUp(
  repository: Repository,
  input: { grant: StorageGrant; nonce: string; request: CleanupRequest },
  options: CleanUpOptions,
): Promise<CleanupResult> {
  const { grant, request } = input;
  let at = await presentRoot(repository, options);
  if (at.root.epoch !== grant.epoch) throw lockLost(at.root, grant.epoch);
  const judged = await verdicts(repository, at, request, options);
  const going = new Set(judged.filter((verdict) => !verdict.keep).map((verdict) => verdict.name));
  const result: CleanupResult = {
    kept: judged.length - going.size,
    removedBackups: going.size,
    deleted: 0,
    bytes: 0,
    retained: 0,
  };
  if (going.size > 0 || request.orphans) {
    at = await leaveOut(repository, at, going, input, options);
  }
  if (needsSweep(at.root)) Object.assign(result, await sweep(repository, at, grant.epoch, options));
  await releaseLock(repository, grant.epoch, `${input.nonce}-release`, { ...options, swept: true });
  return result;
}

async function leaveOut(
  repository: Repository,
  at: RootAt,
  going: ReadonlySet<string>,
  input: { grant: StorageGrant; nonce: string; request: CleanupRequest },
  options: CleanUpOptions,
): Promise<RootAt> {
  const directory = await mkdtemp(join(options.directory, 'cleanup-'));
  try {
    const staying = at.root.backups.filter((entry) => !going.has(entry.name));
    const { unused } = await markPacks(repository, at, staying, { ...options, directory });
    const { epoch } = input.grant;
    const damaged = new Set(at.root.damaged.filter(({ kind }) => kind === 'pack').map(({ id }) => id));
    const indexes = await indexesWithout(repository, at.root.indexes, unused, epoch, { ...options, damaged });
    // Marks are made without a lock: what was pinned while we marked stays.
    await refusePinned(repository, at, going, input.request, options);
    const leftOut = { backups: going, indexes, packs: unused, orphans: input.request.orphans ?? false };
    const outcome = await commit(repository, at, (root) => cleaned(root, leftOut), input.nonce, options);
    if (outcome.result === 'lost') throw lockLost(outcome.highest.root, epoch);
    return outcome.at;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function refusePinned(
  repository: Repository,
  at: RootAt,
  going: ReadonlySet<string>,
  request: CleanupRequest,
  options: CleanUpOptions,
): Promise<void> {
  const again = await verdicts(repository, at, request, options);
  const kept: BackupEntry['name'][] = again.filter((one) => one.keep && going.has(one.name)).map((one) => one.name);
  if (kept.length === 0) return;
  throw new HomarusError(
    'LockLost',
    `backup ${kept.join(', ')} was pinned while the cleanup looked; nothing was removed`,
    {
      hint: 'Start the cleanup again.',
    },
  );
}
