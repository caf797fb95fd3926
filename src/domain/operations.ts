import type { NodeInfo } from './cluster.ts';
import type { BackupEntry, IndexRef, OperationKind, Totals } from './documents.ts';
import type { RetentionPolicy } from './retention.ts';

/** What operations are asked, what their activities answer (receipts: counts and keys, never lists), and their progress. */

/** Every operation is asked with these. */
export interface OperationRequest {
  /** Name of a configured storage; the default one where it is missing. */
  storage?: string;
  /** Who asks, for people. */
  by?: string;
  /** Wait so long for a lock that somebody else holds, ms; 0: be refused at once. */
  waitForLock?: number;
  /** A lock that is held all that time is no failure: the operation ends as skipped, and nothing was done. */
  skipIfLocked?: boolean;
}

/** What an operation answers that was skipped, with the reason. */
export interface Skipped {
  skipped: string;
}

export type OperationEnd = 'succeeded' | 'skipped' | 'failed' | 'cancelled';

export interface BackupRequest extends OperationRequest {
  label?: string;
  /** Ids of nodes that are not asked: the backup is partial. */
  withoutNodes?: string[];
  /** So many nodes may be missing because they do not take their part of the lock; instead of the configured number. */
  allowMissing?: number;
}

export interface RestoreRequest extends OperationRequest {
  /** Name of a backup, or `latest`. */
  backup: string;
  /** With `latest`: the latest that finished before this time (ISO 8601). */
  before?: string;
  /** Only these nodes. */
  nodes?: string[];
  /** Only what these globs match; a matched directory covers what is below it. */
  paths?: string[];
  /** Another directory than the data roots, on each node. */
  to?: string;
  /** Compare the content of files that look right, too. */
  verifyExisting?: boolean;
  /** Which node takes the files of which node of the backup, where ids and zones do not say it, or say it wrong. */
  map?: RestorePair[];
  /** Let the plugin prove what was restored, before the lock is given back. */
  check?: boolean;
}

export interface CleanupRequest extends OperationRequest {
  /** Instead of the configured retention. */
  retention?: RetentionPolicy;
  /** Delete these, and judge nothing. */
  backups?: string[];
  /** Also give up what died backups left for the next one to adopt. */
  orphans?: boolean;
  /** Instead of the configured limits. */
  rewrite?: Partial<RewriteLimits>;
}

/** Which packs a cleanup rewrites. */
export interface RewriteLimits {
  /** Unused bytes of packs may be so large a share of the used ones, e.g. 0.05. */
  maxUnused: number;
  /** So many bytes are rewritten in one cleanup at most; null: as many as it takes. */
  maxRepackBytes: number | null;
}

export interface LockRequest extends OperationRequest {
  /** Held for so long, ms, or until unlocked. */
  for: number;
}

export interface VerifyRequest extends OperationRequest {
  /** Also read packs and check every chunk in them: so much of them, chosen anew each time. */
  readData?: ReadData;
}

/** Of all packs. */
export type ReadData = { percent: number } | { bytes: number };

/** A restore into a scratch directory, which proves the backup and says how long a real one takes. */
export interface DrillRequest extends OperationRequest {
  /** Name of a backup; the latest complete one where it is missing. */
  backup?: string;
  /** Only so much of the files, chosen anew each time. */
  percent?: number;
  /** This node takes the files of all nodes, one after another, rather than each its own. */
  node?: string;
  /** Where the scratch directory is made on each node, an absolute path; instead of the configured one. */
  directory?: string;
  /** The plugin's check runs on what was restored. */
  check?: boolean;
}

export interface LockTimes {
  /** A lock that is not refreshed for so long is free, ms. */
  ttl: number;
  refresh: number;
  /** Heartbeat time-out of long activities, ms. */
  heartbeat: number;
}

/** What a workflow needs of the configuration; the coordinator that grants the storage's part of the lock answers it. */
export interface ClusterSettings {
  cluster: string;
  storage: string;
  nodes: NodeInfo[];
  plugin: string;
  lock: LockTimes;
  attempts: number;
  /** So many nodes may be missing in a backup. */
  allowMissing: number;
  /** Somebody is told how operations end. */
  notifies: boolean;
}

/** Names one attempt everywhere: in roots, leases and grants. */
export interface AttemptId {
  /** Workflow id. */
  operation: string;
  /** Run id and attempt. */
  run: string;
  kind: OperationKind;
  by: string;
  since: string;
}

/** The storage's part of a lock. */
export interface StorageGrant {
  attempt: AttemptId;
  storage: string;
  /** Id of the repository: whoever works under the grant must find the same one. */
  repository: string;
  epoch: number;
  /** Number of the root that took the lock: all that the attempt knows comes from it. */
  root: number;
  ttl: number;
}

/** A node's part of a lock. Work carries it; an older one is refused. */
export interface NodeGrant {
  attempt: AttemptId;
  node: string;
  /** Counted up by the node itself. */
  grant: number;
  host: string;
  incarnation: string;
  ttl: number;
}

export interface StagedList {
  key: string;
  segments: number;
  records: number;
  hash: string;
}

export interface StagedDocument {
  key: string;
  length: number;
  hash: string;
}

export interface SnapshotReceipt {
  node: string;
  chunks: StagedList;
  snapshot: StagedDocument;
  /** When the snapshots of its first and its last root began (ISO 8601), by the node's clock. */
  moments: { first: string; last: string };
  totals: Totals;
  hashedBytes: number;
  linked: number;
  unchanged: number;
  skipped: number;
  vanished: number;
}

export interface PlanReceipt {
  /** For each node that has something to upload. */
  wanted: { node: string; list: StagedList }[];
  chunks: number;
  bytes: number;
  /** Chunks found in packs that a died backup left. */
  adopted: number;
  /** Index of those packs, for the commit. */
  orphans: IndexRef | null;
}

export interface UploadReceipt {
  node: string;
  entries: StagedList;
  packs: StagedDocument;
  packCount: number;
  chunks: number;
  /** Before and after compression. */
  bytes: number;
  stored: number;
}

/** What stored a stream. */
export interface StreamReceipt {
  name: string;
  bytes: number;
  /** JSON: the stream's chunks. */
  chunks: StagedDocument;
  /** Its packs; null when all of it was there. */
  upload: UploadReceipt | null;
}

/** Which plugin, and in which version, works on something. */
export interface PluginVersion {
  name: string;
  version: number;
}

export interface RestorePair {
  /** Id of a node of the backup. */
  from: string;
  /** Id of a node of the cluster. */
  to: string;
  /** What brought them together: the same id, the same availability zone, or the request. */
  how?: 'id' | 'az' | 'map';
}

export interface RestorePlan {
  backup: BackupEntry;
  pairs: RestorePair[];
  /** Ids of nodes that the backup has nothing for. */
  missing: string[];
  settings: ClusterSettings;
  /** Id of the repository that has it. */
  repository: string;
  /** From the manifest. */
  plugin: PluginVersion & { data: unknown };
  /** False when the storage is another cluster's: then only the nodes are locked. */
  lockStorage: boolean;
}

/** Which files a drill restores. */
export interface DrillSample {
  percent: number;
  /** Another one chooses other files. */
  seed: number;
}

export interface DrillPlan extends RestorePlan {
  /** Where each node makes its scratch directory. */
  directory: string;
  sample: DrillSample;
  /** Bytes of all files of each node of the backup. */
  bytesOf: Record<string, number>;
}

/** How fast the last drill was that went well. */
export interface DrillPace {
  /** Of the backup that it restored. */
  bytes: number;
  expectedMs: number;
}

/** What was restored of one node of the backup, and how long that took. */
export interface DrilledTree {
  from: string;
  files: number;
  bytes: number;
  fetchedBytes: number;
  ms: number;
}

export interface DrillReceipt {
  node: string;
  trees: DrilledTree[];
}

export interface RestoreReceipt {
  node: string;
  files: number;
  bytes: number;
  kept: number;
  fetchedBytes: number;
  removed: number;
}

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

export interface VerifyPlan {
  settings: ClusterSettings;
  /** Id of the repository. */
  repository: string;
  /** Number of the root that was present. */
  root: number;
}

/** One share of the packs: `number` of `of`, from 0. */
export interface PackShare {
  number: number;
  of: number;
}

export interface PacksReceipt {
  packs: number;
  /** Bytes of all of them. */
  bytes: number;
  readPacks: number;
  readBytes: number;
  /** How many are not what they should be; the list of them, where there are any. */
  damaged: number;
  list: StagedList | null;
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

/** Phases in the order in which operations go through them. */
export type Phase =
  | 'starting'
  | 'waiting for the lock'
  | 'locking'
  | 'plugin'
  | 'snapshot'
  | 'plan'
  | 'upload'
  | 'commit'
  | 'compare'
  | 'restore'
  | 'cleanup'
  | 'verify packs'
  | 'verify backups'
  | 'note damage'
  | 'held'
  | 'remove'
  | 'record'
  | 'unlocking'
  | 'between attempts'
  | 'done';

/** What one node is at, or did in the phase. */
export interface NodeProgress {
  filesDone: number;
  filesTotal: number;
  bytesDone: number;
  bytesTotal: number;
  /** Bytes per second, of late. */
  rate: number;
  /** What it is at, e.g. a path. */
  at: string;
}

/** Answer of the workflow's query `progress`; the client adds what is in heartbeats. */
export interface OperationProgress {
  kind: OperationKind;
  phase: Phase;
  attempt: number;
  attempts: number;
  cluster: string;
  /** Nodes that finished the phase. */
  done: string[];
  nodes: string[];
  /** Nodes that the operation goes without, if any. */
  missing?: string[];
  /** What the plugin is at, in the phase `plugin`. */
  step?: string;
  backup?: string;
  /** Why the last attempt failed. */
  lastFailure?: string;
}

/** Details of a heartbeat. */
export interface HeartbeatDetails {
  v: 1;
  node: string;
  progress: NodeProgress;
}
