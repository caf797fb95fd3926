import type { StagedList } from './operations.ts';
import type { RestorePair } from './requests.ts';

/** What operations answer when they end: counts and keys, never lists of files. */

/** What an operation answers that was skipped, with the reason. */
export interface Skipped {
  skipped: string;
}

/** Why an operation was skipped; undefined of one that was not: a backup counts the files that it skipped by the same name. */
export function whySkipped(result: unknown): string | undefined {
  const { skipped } = (result ?? {}) as { skipped?: unknown };
  return typeof skipped === 'string' ? skipped : undefined;
}

export type OperationEnd = 'succeeded' | 'skipped' | 'failed' | 'cancelled';

/** Of one node, what a restore would do to it. */
export interface RestoreForecast {
  node: string;
  /** All that the selection covers. */
  files: number;
  bytes: number;
  /** Files that are right already. */
  kept: number;
  keptBytes: number;
  /** To be read from the storage. */
  fetchBytes: number;
  /** Files and directories that the backup does not have. */
  removed: number;
  space: SpaceForecast[];
}

/** Of one file system, bytes. */
export interface SpaceForecast {
  /** A directory on it. */
  path: string;
  /** To be written, and given free by what is replaced or removed. */
  needed: number;
  freed: number;
  available: number;
}

/** What a restore with the same request would do; nothing was changed, and nothing locked. */
export interface RestorePreview {
  backup: string;
  pairs: RestorePair[];
  /** Ids of nodes that a partial backup has nothing for: they would stay as they are. */
  missing: string[];
  nodes: RestoreForecast[];
  files: number;
  bytes: number;
  kept: number;
  fetchBytes: number;
  removed: number;
  /** False when a file system has no room for it: the restore would be refused before it changed anything. */
  fits: boolean;
  /** How long it would take, as the last drill went, ms; null where there was none. */
  expectedMs: number | null;
  /** What the plugin says of its part. */
  plugin?: unknown;
}

/** Files that a backup would take, and their bytes. */
export interface FileCounts {
  files: number;
  bytes: number;
}

/** Paths that a backup would not take. `first`: an example, as people read it. */
export interface LeftOutPaths {
  root: string;
  why: LeftOutReason;
  count: number;
  first: string;
}

/** `excluded`: by the configuration, each directory counted once, with all that is below it. `special`: FIFOs, sockets, devices. */
export type LeftOutReason = 'excluded' | 'special' | 'unreadable' | 'vanished';

/** Of one node, what a backup would read, by size, mtime and inode: nothing was read. */
export interface NodeEstimate extends FileCounts {
  node: string;
  /** False where a root has no former tree to compare with: all in it counts as new. */
  compared: boolean;
  /** Not in the node's last backup; in it, but not the same by size, mtime or inode; the same, so that it is not read. */
  added: FileCounts;
  changed: FileCounts;
  unchanged: FileCounts;
  /** Bytes of files that may have to be stored, before compression: less where other nodes or backups have the same content. */
  storeAtMost: number;
  leftOut: LeftOutPaths[];
  /** What is unreadable would end a backup here (`onUnreadable: fail`). */
  wouldFail: boolean;
}

/** What a backup with the same request would read and store, as far as that is known without reading; nothing was locked. */
export interface BackupEstimate extends FileCounts {
  nodes: NodeEstimate[];
  /** Ids of nodes that did not answer, or were left out by the request. */
  missing: string[];
  added: FileCounts;
  changed: FileCounts;
  unchanged: FileCounts;
  storeAtMost: number;
  /** Ids of nodes at which a backup would fail. */
  wouldFail: string[];
  /** Of the cluster: all but `files` may add what only they know. */
  plugin: string;
}

export interface BackupResult {
  backup: string;
  attempt: number;
  nodes: number;
  /** Ids of nodes that it is without; empty for a complete backup. */
  missing: string[];
  files: number;
  bytes: number;
  added: number;
  stored: number;
  skipped: number;
  vanished: number;
  /** Between the first and the last moment at which a snapshot was begun, over all nodes and by their clocks, ms. */
  snapshotSpread: number;
}

export interface RestoreResult {
  backup: string;
  pairs: RestorePair[];
  /** Ids of nodes that a partial backup has nothing for: they were left as they are. */
  missing: string[];
  files: number;
  bytes: number;
  kept: number;
  fetchedBytes: number;
  removed: number;
  /** What the plugin says of its part. */
  plugin?: unknown;
  /** The plugin's check was asked for, and passed. */
  checked?: boolean;
}

export interface DrillResult {
  backup: string;
  pairs: RestorePair[];
  /** Of the files. */
  percent: number;
  files: number;
  bytes: number;
  fetchedBytes: number;
  /** How long the restore took, at the slowest node. */
  tookMs: number;
  /** How long a restore of the whole backup into nothing would take, as fast as this one. */
  expectedMs: number;
  /** The plugin's check passed; false where it was not asked for. */
  checked: boolean;
}

/** What is kept of a drill with its backup. */
export interface DrillRecord extends Omit<DrillResult, 'backup' | 'pairs'> {
  /** The operation's id. */
  operation: string;
  ok: boolean;
  /** Why it failed. */
  reason?: string;
}

export interface CleanupResult {
  kept: number;
  removedBackups: number;
  /** Objects deleted, and their bytes. */
  deleted: number;
  bytes: number;
  /** Held back by the storage's object lock. */
  retained: number;
  /** Packs whose used content was put into new ones, and the bytes of those. */
  rewrittenPacks: number;
  rewrittenBytes: number;
  /** Packs that were to be rewritten and are damaged: they stay, and the next backup stores again what it can. */
  damagedPacks: number;
  /** What packs hold now: bytes that backups need, and the rest. Null where it was not looked at. */
  space: { used: number; unused: number } | null;
  /** What former data keys still seal, though it is to be rewritten; null where nothing is to be. */
  formerKeys: { packs: number; bytes: number } | null;
}

/** An object that is not what was written. */
export interface Damage {
  kind: 'root' | 'manifest' | 'index' | 'pack' | 'mark' | 'lease' | 'staged' | 'slot' | 'dataKey';
  key: string;
  code: 'ObjectMissing' | 'ObjectDamaged';
  reason: string;
}

/** What damage costs: a file, all from a path up to another one, or all, of a root of a node in these backups. */
export interface Loss {
  backups: string[];
  node: string;
  root: string;
  /** As people read it. */
  path: string | null;
  /** With `path`: all before this one, too; null: to the end. Missing: `path` alone. */
  until?: string | null;
}

/** What is left of a backup. */
export interface BackupState {
  backup: string;
  state: 'whole' | 'damaged' | 'lost';
  /** Files that are lost, as far as they are known by name. */
  lostFiles: number;
}

export interface VerifyResult {
  backups: number;
  damagedBackups: number;
  indexes: number;
  /** That backups need, each counted once. */
  chunks: number;
  packs: number;
  bytes: number;
  readPacks: number;
  readBytes: number;
  /** Damaged objects, and the first of them. */
  damaged: number;
  first: Damage[];
  lostFiles: number;
  /** All of it as lines of JSON, in the storage; null where nothing is damaged but what was healed since. */
  report: StagedList | null;
  /** Number of the root that calls damaged what was found; null where it need not, or could not. */
  notedIn: number | null;
}
