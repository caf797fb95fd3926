import type { ListedOperation, NodeHealth, WhichOperations } from '../client/health.ts';
import type { OperationName, Operations } from '../client/operations.ts';
import type { OperationStatus } from '../client/progress.ts';
import type { ScheduleStatus } from '../client/schedules.ts';
import type { Listing } from '../client/sharedReading.ts';
import type { NodeInfo } from '../domain/cluster.ts';
import type { HomarusError } from '../domain/errors.ts';
import type { RetentionPolicy } from '../domain/retention.ts';
import type { Log } from '../telemetry.ts';
import type { TokenHash } from './tokens.ts';

/** What the facade is handed: it keeps no state of its own. */
export interface ApiDeps {
  cluster: string;
  nodes: readonly NodeInfo[];
  storages: readonly string[];
  defaultStorage: string;
  retention: RetentionPolicy;
  /** A last complete backup that is older is overdue, ms. */
  alertAfter: number | undefined;
  /** Where Temporal's own pages are, for links; null where nobody said. */
  temporalUi: string | null;
  /** Empty: everybody who reaches it may do everything, so only this machine reaches it. */
  tokens: readonly TokenHash[];
  tls?: { cert: Buffer; key: Buffer };
  /** What this process counts, as Prometheus reads it; null where nothing is counted. */
  metrics: (() => Promise<string>) | null;
  storage: StorageDoor;
  temporal: TemporalDoor;
  log: Log;
}

export interface StorageDoor {
  /** What a storage holds now; the default one where no name is given, `BadInput` where there is none of the name. */
  look(storage: string | undefined): Promise<Listing>;
}

export interface StartedLocked {
  operation: string;
  error: HomarusError | null;
}

/** Temporal, for as long as a request may wait: all reject with `TemporalUnreachable` when it does not answer. */
export interface TemporalDoor {
  check(): Promise<void>;
  /** Answers the operation's id: the same one for the same key. */
  start<N extends OperationName>(name: N, request: Operations[N]['request'], key?: string): Promise<string>;
  /**
   * The same, and waits until it holds its lock, or for as long as somebody waits for an answer. `error`: why it ended
   * without the lock.
   */
  startLocked<N extends OperationName>(name: N, request: Operations[N]['request']): Promise<StartedLocked>;
  status(id: string): Promise<OperationStatus>;
  list(which: WhichOperations): Promise<ListedOperation[]>;
  cancel(id: string): Promise<void>;
  /** Ends a lock that was taken for an operator. */
  unlock(id: string): Promise<void>;
  nodes(): Promise<NodeHealth[]>;
  coordinators(): Promise<number>;
  schedules(): Promise<ScheduleStatus[]>;
  pause(schedule: string, note: string): Promise<void>;
  resume(schedule: string, note: string): Promise<void>;
  /** Answers the operation that it started; null when its last one still runs. */
  trigger(schedule: string): Promise<string | null>;
}
