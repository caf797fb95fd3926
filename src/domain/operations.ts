import type { NodeInfo } from './cluster.ts';
import type { BackupEntry, IndexRef, OperationKind, Totals } from './documents.ts';
import type { RestorePair } from './requests.ts';

/** What activities of operations are handed and answer (receipts: counts and keys, never lists), and the progress of operations. */

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

/** What an estimate starts from. */
export interface EstimatePlan {
  settings: ClusterSettings;
  /** Id of the repository. */
  repository: string;
}

export interface PlanReceipt {
  /** For each node that has something to upload; bytes before compression. */
  wanted: { node: string; list: StagedList; bytes: number }[];
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

export interface RestorePlan {
  backup: BackupEntry;
  pairs: RestorePair[];
  /** Ids of nodes that the backup has nothing for. */
  missing: string[];
  /** Bytes of all files of each node of the backup. */
  bytesOf: Record<string, number>;
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

/** Phases in the order in which operations go through them. */
export type Phase =
  | 'starting'
  | 'waiting for the lock'
  | 'locking'
  | 'plugin'
  | 'snapshot'
  | 'estimate'
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
  /** The same as it reads in Temporal's UI. */
  text: string;
  node: string;
  progress: NodeProgress;
}
