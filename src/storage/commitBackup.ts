import { manifestNode, packRefs, streamChunks } from '../domain/documentShapes.ts';
import type { BackupEntry, ChunkAt, IndexRef, Manifest, ManifestNode, Totals } from '../domain/documents.ts';
import { HomarusError } from '../domain/errors.ts';
import type { SnapshotReceipt, StorageGrant, StreamReceipt, UploadReceipt } from '../domain/operations.ts';
import type { BackupResult } from '../domain/results.ts';
import { backupName, writeManifest } from './backups.ts';
import type { PackRef } from './chunkIndex.ts';
import { ENTRY_BYTES, writeIndex } from './chunkIndex.ts';
import { replaceIndexes } from './garbage.ts';
import { HASH_BYTES } from './hash.ts';
import { mergeIndexes } from './indexes.ts';
import { lockLost, released } from './lock.ts';
import type { CallOptions } from './objectStore.ts';
import { damagedIn } from './openIndexes.ts';
import type { Batches } from './records.ts';
import { mergeRecords } from './records.ts';
import type { Repository } from './repository.ts';
import type { RootAt } from './roots.ts';
import { commit, presentRoot } from './roots.ts';
import { readStaged, readStagedJson } from './staging.ts';

export interface BackupCommit {
  grant: StorageGrant;
  /** Random, made by the workflow: the backup is found again by it whatever was answered. */
  id: string;
  nonce: string;
  label: string;
  attempt: number;
  started: string;
  snapshots: SnapshotReceipt[];
  /** Ids of nodes that the backup is without. */
  missing: string[];
  uploads: UploadReceipt[];
  streams: StreamReceipt[];
  /** Index of the packs that a died backup left and that this one adopts. */
  orphans: IndexRef | null;
  plugin: { name: string; version: number; data: unknown };
  /** Names of backups that this one cannot do without. */
  requires: readonly string[];
}

export interface CommittedBackup {
  receipt: BackupResult;
  id: string;
  repository: string;
}

/**
 * Makes the backup exist: writes index and manifest, then commits the root that names them and holds no lock any more.
 * `LockLost` when another root stands that does not name it. Called again after a lost answer it finds its own root. `present`:
 * the root, if it was read just now; `at`: the one that names the backup.
 */
export async function commitBackup(
  repository: Repository,
  input: BackupCommit,
  options: CallOptions & { directory: string; present?: RootAt },
): Promise<CommittedBackup & { at: RootAt }> {
  const planned = options.present ?? (await presentRoot(repository, options));
  const standing = planned.root.backups.find((entry) => entry.id === input.id);
  if (standing) return { ...committed(repository, input, standing), at: planned };
  if (planned.root.number !== input.grant.root) throw lockLost(planned.root, input.grant.epoch);

  checkPlugin(input, planned.root.backups);
  const nodes = await Promise.all(
    input.snapshots.map((receipt) => readStagedJson<ManifestNode>(repository, receipt.snapshot, manifestNode, options)),
  );
  const streams = await Promise.all(
    input.streams.map(async ({ name, chunks }) => ({
      name,
      chunks: await readStagedJson<ChunkAt[]>(repository, chunks, streamChunks, options),
    })),
  );
  const uploads = [...input.uploads, ...input.streams.flatMap(({ upload }) => upload ?? [])];
  const index = await indexUploads(repository, input.grant.epoch, uploads, options);
  const finished = new Date();
  const totals = sum(input.snapshots.map((receipt) => receipt.totals));
  const name = backupName([...planned.root.backups, ...(planned.root.aside ?? [])], input.started);
  const partial = input.missing.length > 0 ? { partial: input.missing } : {};
  const manifest: Manifest = {
    version: 1,
    repository: repository.parameters.id,
    cluster: repository.parameters.cluster,
    name,
    id: input.id,
    kind: 'full',
    label: input.label,
    started: input.started,
    finished: finished.toISOString(),
    attempt: input.attempt,
    epoch: input.grant.epoch,
    plugin: input.plugin,
    nodes,
    ...partial,
    streams,
    totals,
  };
  const entry: BackupEntry = {
    name,
    id: input.id,
    manifest: await writeManifest(repository, manifest, options),
    kind: 'full',
    epoch: input.grant.epoch,
    started: input.started,
    finished: manifest.finished,
    label: input.label,
    plugin: input.plugin.name,
    nodes: nodes.length,
    files: totals.files,
    bytes: totals.bytes,
    added: total(uploads, 'bytes'),
    stored: total(uploads, 'stored'),
    ...(input.requires.length > 0 ? { requires: [...input.requires] } : {}),
    ...partial,
  };
  const added = [index, input.orphans].filter((ref) => ref !== null && ref !== undefined);
  const damaged = damagedIn(planned.root);
  const all = [...planned.root.indexes, ...added];
  const indexes = await mergeIndexes(repository, all, input.grant.epoch, { ...options, damaged });
  const outcome = await commit(
    repository,
    planned,
    (next) => released({ ...replaceIndexes(next, indexes), backups: [...next.backups, entry] }),
    input.nonce,
    options,
  );
  const at = outcome.result === 'lost' ? outcome.highest : outcome.at;
  if (outcome.result === 'lost' && !at.root.backups.some(({ id }) => id === input.id)) {
    throw new HomarusError(
      'LockLost',
      `backup ${name} was not committed: ${at.root.holder?.operation ?? 'another operation'} ` +
        `took the lock of ${repository.store.description} meanwhile`,
    );
  }
  return { ...committed(repository, input, entry), at };
}

/** Of plugin data, bytes: manifests are read whole. */
const MOST_DATA = 64 * 1024;

function checkPlugin({ plugin, requires }: BackupCommit, existing: readonly BackupEntry[]): void {
  const { length } = JSON.stringify(plugin.data);
  if (length > MOST_DATA) {
    throw new HomarusError(
      'PluginFailed',
      `plugin ${plugin.name} wants ${length} bytes of data in the manifest, which takes ${MOST_DATA}`,
      { hint: 'The plugin must store it as a stream.' },
    );
  }
  const gone = requires.filter((name) => !existing.some((entry) => entry.name === name));
  if (gone.length > 0) {
    throw new HomarusError(
      'BackupRemoved',
      `plugin ${plugin.name} made a backup that requires ${gone.join(', ')}, which is not listed`,
    );
  }
}

function committed(repository: Repository, input: BackupCommit, entry: BackupEntry): CommittedBackup {
  const { name, nodes, files, bytes, added, stored } = entry;
  const skipped = total(input.snapshots, 'skipped');
  const vanished = total(input.snapshots, 'vanished');
  return {
    id: entry.id,
    repository: repository.parameters.id,
    receipt: {
      backup: name,
      attempt: input.attempt,
      nodes,
      missing: entry.partial ?? [],
      files,
      bytes,
      added,
      stored,
      skipped,
      vanished,
      snapshotSpread: spreadOf(input.snapshots),
    },
  };
}

/** In ms. */
function spreadOf(snapshots: readonly SnapshotReceipt[]): number {
  const times = snapshots.flatMap(({ moments }) => [moments.first, moments.last]).map((moment) => Date.parse(moment));
  // A backup may hold what is no file alone.
  return times.length === 0 ? 0 : Math.max(...times) - Math.min(...times);
}

/** One index of all that nodes and streams brought; none when that is nothing. */
async function indexUploads(
  repository: Repository,
  epoch: number,
  uploads: readonly UploadReceipt[],
  options: CallOptions,
): Promise<IndexRef | undefined> {
  const packs: PackRef[] = [];
  const sources: Batches[] = [];
  for (const upload of uploads) {
    const own = await readStagedJson<PackRef[]>(repository, upload.packs, packRefs, options);
    sources.push(renumbered(readStaged(repository, upload.entries, ENTRY_BYTES, options), packs.length));
    packs.push(...own);
  }
  if (packs.length === 0) return undefined;
  // A stream may hold what a file holds, too.
  const entries = mergeRecords(sources, ENTRY_BYTES, HASH_BYTES, { unique: true });
  return writeIndex(repository, epoch, entries, packs, options);
}

/** A node numbers its packs from 0; here all nodes' packs stand in one list. */
async function* renumbered(entries: Batches, first: number): AsyncGenerator<Buffer> {
  for await (const batch of entries) {
    for (let at = HASH_BYTES; at < batch.length; at += ENTRY_BYTES) {
      batch.writeUInt32LE(batch.readUInt32LE(at) + first, at);
    }
    yield batch;
  }
}

function sum(totals: readonly Totals[]): Totals {
  return {
    entries: total(totals, 'entries'),
    files: total(totals, 'files'),
    bytes: total(totals, 'bytes'),
  };
}

function total<K extends string>(receipts: readonly Record<K, number>[], count: K): number {
  return receipts.reduce((all, receipt) => all + receipt[count], 0);
}
