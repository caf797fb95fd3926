import type { RetentionPolicy } from './retention.ts';

/** What operations are asked. */

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

export interface RestorePair {
  /** Id of a node of the backup. */
  from: string;
  /** Id of a node of the cluster. */
  to: string;
  /** What brought them together: the same id, the same availability zone, or the request. */
  how?: 'id' | 'az' | 'map';
}
