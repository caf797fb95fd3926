import type { DrillRecord } from './results.ts';

/** The documents of a repository, as docs/format.md section 5 describes them. Hashes are 64 hex digits, times ISO 8601. */

export interface Holder {
  /** Workflow id of the operation. */
  operation: string;
  /** Run id and attempt: two attempts never take each other for themselves. */
  run: string;
  kind: OperationKind;
  /** Who asked for it. */
  by: string;
  since: string;
  /** Milliseconds. */
  ttl: number;
}

export type OperationKind =
  | 'backup'
  | 'estimate'
  | 'restore'
  | 'preview'
  | 'drill'
  | 'cleanup'
  | 'lock'
  | 'verify'
  | 'keys';

export interface BackupEntry {
  name: string;
  id: string;
  manifest: { length: number; hash: string };
  kind: 'full';
  epoch: number;
  started: string;
  finished: string;
  label: string;
  plugin: string;
  nodes: number;
  files: number;
  /** Bytes of all files. */
  bytes: number;
  /** Bytes that this backup brought, before and after compression. */
  added: number;
  stored: number;
  /** Ids of nodes that are missing in it; only where some are. */
  partial?: string[];
  /** Backups that it cannot do without. */
  requires?: string[];
}

export interface IndexRef {
  id: string;
  /** Bytes of the object, and of its footer block as stored. */
  length: number;
  footer: number;
  /** Hash of the footer block as stored. */
  hash: string;
  entries: number;
  epoch: number;
}

/** What counts as absent, though the root leads to it. */
export interface DamagedObject {
  kind: 'pack' | 'index' | 'manifest';
  id: string;
}

export interface AsideBackup extends BackupEntry {
  why: string;
}

/** How much of the packs the backups need, as the cleanup of `epoch` left it. Bytes; damaged packs are not counted. */
export interface SpaceUse {
  epoch: number;
  used: number;
  unused: number;
  /** Packs that are less than half full. */
  small: number;
}

export interface RootDocument {
  version: 1;
  features: string[];
  number: number;
  /** Hash of the former root's bytes; empty for the first. */
  previous: string;
  nonce: string;
  written: string;
  cluster: string;
  epoch: number;
  holder: Holder | null;
  floor: number;
  swept: number;
  backups: BackupEntry[];
  indexes: IndexRef[];
  damaged: DamagedObject[];
  /** Backups that a repair found not whole: not listed, but kept, and restored by name as far as they go. */
  aside?: AsideBackup[];
  /** Of an encrypted repository. */
  keys?: RootKeys;
  /** Missing until the first cleanup, null where that did not end as it should. */
  space?: SpaceUse | null;
}

export interface RootKeys {
  /** Of the data key that packs, indexes and staged lists are sealed with now. */
  generation: number;
  /** Ids of the key slots. */
  slots: string[];
  /** Packs that lower generations seal are to be rewritten; missing when there are none, or they may stay. */
  rewriteBelow?: number;
}

export interface ChunkAt {
  chunk: string;
  /** Bytes. */
  length: number;
}

export interface TreePage extends ChunkAt {
  /** Path of the page's first row: base64 of its bytes. */
  first: string;
}

/** A tree's pages, or where the list of them stands when it is long. */
export type TreeRef = { pages: TreePage[] } | { pageList: ChunkAt; pageCount: number };

export interface Totals {
  entries: number;
  files: number;
  bytes: number;
}

export interface ManifestRoot {
  /** Name of the data root; `data` where the configuration has only one. */
  name: string;
  tree: TreeRef;
  totals: Totals;
  snapshotAt: string;
  /** FIFOs, sockets, devices and, if so configured, unreadable files that were left out. */
  skipped: number;
  /** Files that were gone before they could be linked. */
  vanished: number;
}

export interface ManifestNode {
  id: string;
  az: string;
  host: string;
  roots: ManifestRoot[];
}

export interface ManifestStream {
  name: string;
  chunks: ChunkAt[];
}

export interface Manifest {
  version: 1;
  repository: string;
  cluster: string;
  name: string;
  id: string;
  kind: 'full';
  label: string;
  started: string;
  finished: string;
  attempt: number;
  epoch: number;
  plugin: { name: string; version: number; data: unknown };
  nodes: ManifestNode[];
  /** As in the root's entry. */
  partial?: string[];
  streams: ManifestStream[];
  totals: Totals;
}

export interface LeaseDocument {
  version: 1;
  epoch: number;
  holder: Holder;
  /** Milliseconds. */
  ttl: number;
  refreshed: string;
}

export interface MarkDocument {
  version: 1;
  backup: string;
  kind: 'pin' | 'drill';
  at: string;
  by: string;
  note: string;
  /** The pin ends by itself at this time (ISO 8601). */
  until?: string;
  /** How a restore drill of the backup went. */
  drill?: DrillRecord;
}

const SIXTEEN = 16;
export const padded = (number: number): string => String(number).padStart(SIXTEEN, '0');

export const keys = {
  root: (number: number): string => `roots/${padded(number)}`,
  lease: (epoch: number): string => `leases/${padded(epoch)}`,
  manifest: (name: string, id: string): string => `manifests/${name}~${id}`,
  mark: (backup: string, id: string): string => `marks/${backup}/${id}`,
  slot: (id: string): string => `keys/${id}`,
  dataKey: (generation: number): string => `keys/generation-${padded(generation)}`,
  pack: (id: string): string => `packs/${id}`,
  index: (id: string): string => `indexes/${id}`,
  staging: (epoch: number, operation: string): string => `staging/${padded(epoch)}-${operation}/`,
  report: (operation: string): string => `reports/${operation}/`,
};
