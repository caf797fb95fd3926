import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { AsideBackup, BackupEntry, IndexRef, RootDocument } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import { HomarusError } from '../domain/errors.ts';
import { formatDuration } from '../domain/text.ts';
import { DryStore } from './dryStore.ts';
import { randomPart } from './ids.ts';
import type { CallOptions } from './objectStore.ts';
import type { RebuiltIndex } from './rebuildIndex.ts';
import { rebuildIndex } from './rebuildIndex.ts';
import type { Remains } from './remains.ts';
import { findRemains } from './remains.ts';
import type { Repository } from './repository.ts';
import { sealJson } from './repository.ts';
import { presentRoot } from './roots.ts';
import { verifyBackups } from './verifyBackups.ts';

export interface RepairOptions extends CallOptions {
  /** For temporary files. */
  directory: string;
  /** Of the lock, ms: for so long nothing may have been written. */
  ttl: number;
  /** Only find out; nothing is written. */
  dryRun: boolean;
  /** What it is at, for people. */
  onStep?: (what: string) => void;
}

export interface RepairResult {
  /** Of the new root. */
  number: number;
  epoch: number;
  floor: number;
  /** Names of the backups that are whole, and of those that are not with the reason. */
  listed: string[];
  aside: { name: string; why: string }[];
  packs: number;
  chunks: number;
  /** Packs that the new index does not hold whole. */
  lost: { key: string; why: string }[];
}

/** Above the highest number and epoch that were seen anywhere: nobody who still sleeps reaches it. */
const LEAP = 1_000_000;

/**
 * Makes a new root of what the storage still holds: an index of all packs by their footers, and the backups whose manifests and
 * chunks are whole. Others are set aside by name. Deletes and overwrites nothing. `LockHeld` when somebody still works;
 * for whom nobody is to: all workers must be stopped.
 */
export async function repair(repository: Repository, options: RepairOptions): Promise<RepairResult> {
  const { onStep = () => undefined } = options;
  onStep('looking whether anybody works');
  await awaitSilence(repository, options);
  const directory = await mkdtemp(join(options.directory, 'repair-'));
  try {
    const working = options.dryRun ? { ...repository, store: new DryStore(repository.store, directory) } : repository;
    onStep('listing what there is');
    const remains = await findRemains(working, options);
    const epoch = remains.highestEpoch + LEAP;
    onStep(`reading the footers of ${remains.packs.length} packs`);
    const rebuilt = await rebuildIndex(working, remains, epoch, { ...options, directory });
    onStep(`verifying ${remains.manifests.length} backups`);
    const root = await newRoot(working, remains, rebuilt, epoch, { ...options, directory });
    const result = resultOf(root, rebuilt);
    if (!options.dryRun) await write(repository, root, options);
    return result;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** One lock time without a new root or a refreshed lease; a holder that lives refreshes it many times. */
async function awaitSilence({ store }: Repository, { ttl, signal }: RepairOptions): Promise<void> {
  const options = signal ? { signal } : {};
  const newest = async (): Promise<{ key: string; modified: number }> => {
    let last = { key: '', modified: 0 };
    for (const prefix of ['roots/', 'leases/']) {
      for await (const { key, modified } of store.list(prefix, options))
        if (modified >= last.modified) last = { key, modified };
    }
    return last;
  };
  const before = await newest();
  const left = before.modified + ttl - (await store.now());
  if (before.key === '' || left <= 0) return;
  await pause(left, undefined, options);
  const after = await newest();
  if (after.key === before.key && after.modified === before.modified) return;
  throw new HomarusError(
    'LockHeld',
    `somebody still works in ${store.description}: ${after.key} was written meanwhile`,
    {
      hint: `Stop all workers of the cluster, wait ${formatDuration(ttl)}, and run it again.`,
    },
  );
}

async function newRoot(
  repository: Repository,
  remains: Remains,
  { index, damaged }: RebuiltIndex,
  epoch: number,
  options: CallOptions & { directory: string },
): Promise<RootDocument> {
  const indexes: IndexRef[] = index ? [index] : [];
  const backups = remains.manifests.flatMap(({ entry, why }) => (why === undefined ? [entry] : []));
  const told = { onDamage: () => undefined, onLoss: () => undefined };
  const { states } = await verifyBackups(repository, { backups, indexes, damaged }, { ...options, ...told });
  const aside = new Map<string, AsideBackup>();
  for (const { entry, why } of remains.manifests) if (why !== undefined) aside.set(entry.id, { ...entry, why });
  for (const [place, { state, lostFiles }] of states.entries()) {
    const entry = backups[place] as BackupEntry;
    const why = lostFiles > 0 ? `${lostFiles} files are not whole` : 'parts of its trees are lost';
    if (state !== 'whole') aside.set(entry.id, { ...entry, why });
  }
  const listed = backups.filter(({ id }) => !aside.has(id));
  return {
    version: 1,
    features: [],
    number: remains.highestNumber + LEAP,
    previous: remains.lastRoot?.hash ?? '',
    nonce: randomPart(),
    written: new Date().toISOString(),
    cluster: remains.lastRoot?.root.cluster ?? repository.parameters.cluster,
    epoch,
    holder: null,
    floor: epoch - 1,
    swept: 0,
    backups: listed,
    indexes,
    damaged,
    ...(remains.keys ? { keys: remains.keys } : {}),
    ...(aside.size > 0 ? { aside: [...aside.values()] } : {}),
  };
}

async function write(repository: Repository, root: RootDocument, options: CallOptions): Promise<void> {
  const key = keys.root(root.number);
  await repository.store.create(key, sealJson(repository, { kind: 'root', key }, root), options);
  const at = await presentRoot(repository, options);
  if (at.root.nonce === root.nonce) return;
  throw new HomarusError(
    'LockLost',
    `${key} is not the present root of ${repository.store.description}: somebody else works there`,
  );
}

function resultOf({ number, epoch, floor, backups, aside = [] }: RootDocument, rebuilt: RebuiltIndex): RepairResult {
  return {
    number,
    epoch,
    floor,
    listed: backups.map(({ name }) => name),
    aside: aside.map(({ name, why }) => ({ name, why })),
    packs: rebuilt.packs,
    chunks: rebuilt.index?.entries ?? 0,
    lost: rebuilt.lost,
  };
}
