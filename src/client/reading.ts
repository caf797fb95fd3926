import type { BackupEntry, Holder, Manifest, ManifestNode } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import { HomarusError } from '../domain/errors.ts';
import { readBackup, readManifest } from '../storage/backups.ts';
import { ChunkReader } from '../storage/chunkReader.ts';
import type { Drill, Mark } from '../storage/marks.ts';
import { latestDrills, listMarks, pinsIn } from '../storage/marks.ts';
import type { ObjectStore } from '../storage/objectStore.ts';
import { openReadable } from '../storage/openIndexes.ts';
import type { Latest } from '../storage/planRestore.ts';
import { findBackup as findInRoot } from '../storage/planRestore.ts';
import type { Repository } from '../storage/repository.ts';
import { openRepository } from '../storage/repository.ts';
import type { RootAt } from '../storage/roots.ts';
import { presentRoot } from '../storage/roots.ts';
import type { SecretSource } from '../storage/secret.ts';
import type { Row } from '../storage/tree.ts';
import { comparePaths, readTree } from '../storage/tree.ts';

/** What reads a repository takes neither a lock nor Temporal: a store and its present root are enough. */
export interface Reading {
  readonly repository: Repository;
  readonly at: RootAt;
}

/** `ForeignRepository` when it is not `cluster`'s; undefined: any may be read. */
export async function openReading(
  store: ObjectStore,
  cluster: string | undefined,
  encryption?: SecretSource,
): Promise<Reading> {
  const repository = await openRepository(store, { cluster, encryption });
  return { repository, at: await presentRoot(repository) };
}

export const newestFirst = ({ at }: Reading): BackupEntry[] =>
  at.root.backups.toSorted((a, b) => (a.name < b.name ? 1 : -1));

/** The newest complete backup: Temporal forgets what it did, the root does not. */
export const lastSuccess = (reading: Reading): BackupEntry | undefined =>
  newestFirst(reading).find(({ partial = [] }) => partial.length === 0);

/** Whether the newest complete backup is older than `alertAfter`, ms, or there is none. */
export function isOverdue(reading: Reading, alertAfter: number, now: Date): boolean {
  const last = lastSuccess(reading);
  return last === undefined || now.getTime() - Date.parse(last.finished) > alertAfter;
}

export interface ListedBackup extends BackupEntry {
  pinned: boolean;
  /** When the pin ends by itself (ISO 8601); null where there is none, or for good. */
  pinnedUntil: string | null;
  /** How its latest restore drill went; null where it had none. */
  drill: Drill | null;
}

/** The backups, newest first. */
export const listBackups = async (reading: Reading): Promise<ListedBackup[]> =>
  withMarks(reading, await listMarks(reading.repository));

export function withMarks(reading: Reading, marks: readonly Mark[]): ListedBackup[] {
  const [pinned, drills] = [pinsIn(marks), latestDrills(marks)];
  return newestFirst(reading).map((entry) => ({
    ...entry,
    pinned: pinned.has(entry.name),
    pinnedUntil: pinned.get(entry.name)?.until ?? null,
    drill: drills.get(entry.name) ?? null,
  }));
}

/** A backup by its name, or `latest`, which is a complete one unless nodes are named. */
export const findBackup = (reading: Reading, name: string, latest: Latest = {}): BackupEntry =>
  findInRoot(reading.at.root, name, latest);

/** A listed backup with its manifest, but without the places of trees and streams: they are for programs that read the storage. */
export interface BackupDetails extends Omit<ListedBackup, 'manifest'> {
  manifest: Omit<Manifest, 'nodes' | 'streams'> & { nodes: DetailedNode[]; streams: { name: string; bytes: number }[] };
}
export type DetailedNode = Omit<ManifestNode, 'roots'> & { roots: Omit<ManifestNode['roots'][number], 'tree'>[] };

/** By name, or `latest`. */
export async function showBackup(reading: Reading, wanted: string): Promise<BackupDetails> {
  const { repository, at } = reading;
  const entry = findBackup(reading, wanted);
  const manifest = await readBackup(repository, at, entry.name, (_, now) => readManifest(repository, now));
  const marks = await listMarks(repository, { backup: entry.name });
  const pin = pinsIn(marks).get(entry.name);
  const nodes = manifest.nodes.map((node) => ({ ...node, roots: node.roots.map(({ tree: _, ...root }) => root) }));
  const streams = manifest.streams.map(({ name, chunks }) => ({
    name,
    bytes: chunks.reduce((sum, { length }) => sum + length, 0),
  }));
  return {
    ...entry,
    pinned: pin !== undefined,
    pinnedUntil: pin?.until ?? null,
    drill: latestDrills(marks).get(entry.name) ?? null,
    manifest: { ...manifest, nodes, streams },
  };
}

export interface LockState {
  holder: Holder | null;
  epoch: number;
  /** When its lease runs out unless it is refreshed (ISO 8601); null when nobody holds it. */
  expires: string | null;
  /** It was not refreshed in time: it keeps nobody out any more. */
  expired: boolean;
}

/** Who holds the storage's part of the lock, by the storage's clock. */
export async function lockState({ repository, at }: Reading): Promise<LockState> {
  const { holder, epoch, number } = at.root;
  if (holder === null) return { holder, epoch, expires: null, expired: false };
  const { store } = repository;
  const lease = (await store.stat(keys.lease(epoch))) ?? (await store.stat(keys.root(number)));
  if (lease === undefined) return { holder, epoch, expires: null, expired: false };
  const expires = lease.modified + holder.ttl;
  return { holder, epoch, expires: new Date(expires).toISOString(), expired: (await store.now()) >= expires };
}

/** An entry of a backup: where it was, and its row. */
export interface Found {
  node: ManifestNode;
  /** Name of the data root. */
  root: string;
  row: Row;
}

export interface Wanted {
  /** Only these. */
  nodes?: readonly string[] | undefined;
  /** Only this path and what is below it; one character per byte. */
  below?: string;
}

/**
 * Reads the rows of a backup's trees in order. Goes on where it was when a cleanup moved what it reads; `BackupRemoved`
 * when the backup went. `BadInput` names the nodes that the backup has.
 */
export async function readEntries(
  { repository, at }: Reading,
  name: string,
  { nodes, below = '' }: Wanted,
  emit: (found: Found) => Promise<void>,
): Promise<void> {
  let last: { tree: string; path: string } | undefined;
  await readBackup(repository, at, name, async ({ root }, entry) => {
    const manifest = await readManifest(repository, entry);
    const indexes = await openReadable(repository, root);
    const chunks = new ChunkReader(repository, indexes);
    const trees = chosen(manifest.nodes, nodes, name).flatMap((node) => node.roots.map((tree) => ({ node, tree })));
    const label = ({ node, tree }: (typeof trees)[number]): string => `${node.id}/${tree.name}`;
    const from = Math.max(
      0,
      trees.findIndex((one) => label(one) === last?.tree),
    );
    for (const one of trees.slice(from)) {
      const seen = last?.tree === label(one) ? last.path : undefined;
      const range = below === '' ? { from: seen ?? '' } : { from: seen ?? below, to: below };
      for await (const row of readTree(chunks, one.tree.tree, range)) {
        if (seen !== undefined && comparePaths(row.path, seen) <= 0) continue;
        await emit({ node: one.node, root: one.tree.name, row });
        last = { tree: label(one), path: row.path };
      }
    }
  });
}

function chosen(nodes: readonly ManifestNode[], wanted: readonly string[] | undefined, backup: string): ManifestNode[] {
  const unknown = wanted?.filter((id) => !nodes.some((node) => node.id === id)) ?? [];
  if (unknown.length > 0) {
    const known = nodes.map(({ id }) => id).join(', ');
    throw new HomarusError('BadInput', `backup ${backup} has no node ${unknown.join(', ')}; it has ${known}`);
  }
  return nodes.filter(({ id }) => wanted === undefined || wanted.includes(id));
}
