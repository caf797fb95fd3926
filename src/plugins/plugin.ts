import type { BackupEntry } from '../domain/documents.ts';
import type { RestorePair } from '../domain/requests.ts';

/**
 * The contract of a plugin's order of things; docs/plugins.md teaches it. Workflow-safe: a flow does no I/O, it calls the
 * steps that it is handed, and activities of its own.
 */

/** Where an activity runs. */
export type Place = 'everyNode' | 'oneNode' | 'coordinator';

/** What a flow declares of an activity: where it runs, what it is asked, what it answers. Both go through Temporal's history. */
export interface Activity<P extends Place = Place, Input = never, Output = unknown> {
  readonly place: P;
  /** Never there: it carries the types. */
  readonly types?: (input: Input) => Output;
}

// biome-ignore lint/suspicious/noExplicitAny: of any input.
export type Activities = Readonly<Record<string, Activity<Place, any, unknown>>>;

/** On all nodes that take part, at once; its answer to the flow is one for each node. */
export const onEveryNode = <Output = void, Input = void>(): Activity<'everyNode', Input, Output> => ({
  place: 'everyNode',
});

/** On the node that the flow names. @public */
export const onOneNode = <Output = void, Input = void>(): Activity<'oneNode', Input, Output> => ({ place: 'oneNode' });

/** On any coordinator: for what is the cluster's and no node's, and for streams. */
export const onCoordinator = <Output = void, Input = void>(): Activity<'coordinator', Input, Output> => ({
  place: 'coordinator',
});

/** A flow's activities as it calls them. A call that fails for good rejects, and ends the attempt unless it is caught. */
export type Calls<A extends Activities> = {
  readonly [K in keyof A]: A[K] extends Activity<infer P, infer Input, infer Output>
    ? P extends 'everyNode'
      ? (input: Input) => Promise<Record<string, Output>>
      : P extends 'oneNode'
        ? (node: string, input: Input) => Promise<Output>
        : (input: Input) => Promise<Output>
    : never;
};

interface Steps {
  /** The nodes that take part, in the order of the configuration; each holds its part of the lock. */
  readonly nodes: readonly string[];
  /** Nodes that the operation goes without. */
  readonly missing: readonly string[];
  /** An error that ends the attempt, with the plugin's own words for it. */
  failure(message: string, hint?: string): Error;
}

export interface BackupSteps<Data> extends Steps {
  /** Every node takes a snapshot, all at once. Once in a backup. */
  snapshot(): Promise<void>;
  /** Who uploads what. */
  plan(): Promise<void>;
  /** What storage lacks is uploaded. */
  upload(): Promise<void>;
  /**
   * Makes the backup exist; the lock of the storage ends with it. `data` stands in the manifest, below 64 KiB and without
   * secrets; what is larger goes into a stream. `requires` names backups that this one cannot do without.
   */
  commit(what: { data: Data; requires?: readonly string[] }): Promise<void>;
}

/** A backup that is restored, or was. */
export interface Restored<Data> extends Steps {
  readonly backup: BackupEntry;
  /** What the backup's flow committed, and in which version of the plugin. */
  readonly data: Data;
  readonly version: number;
  /** Which node takes the files of which node of the backup. */
  readonly pairs: readonly RestorePair[];
  /** Only some nodes or paths: what belongs to the whole cluster is to be left alone. */
  readonly partial: boolean;
}

export interface RestoreSteps<Data> extends Restored<Data> {
  /** Every matched node restores its trees. */
  restore(): Promise<void>;
}

export interface CheckSteps<Data> extends Restored<Data> {
  /** The directory that the files were restored into, on each node, where the roots of activities are then; null: in place. */
  readonly to: string | null;
}

export interface Flow<A extends Activities = Activities, Data = unknown> {
  readonly name: string;
  /**
   * Of the data that `commit` is given and of the activities: counted up when either changes. Coordinators and nodes must
   * agree on it, and a manifest from a newer one is refused.
   */
  readonly version: number;
  readonly activities: A;
  backup(steps: BackupSteps<Data>, run: Calls<A>): Promise<void>;
  /** Answers what the operation's result says of the plugin's part, if anything; its `summary`, a text, is what people read. */
  restore(steps: RestoreSteps<Data>, run: Calls<A>): Promise<unknown>;
  /** What `restore` would do to what is no file. Nothing is changed, and no node locked: activities run on coordinators only. */
  preview?(steps: Restored<Data>, run: Calls<A>): Promise<unknown>;
  /** Proves what was restored, in place or elsewhere, under the same lock; rejects when something is wrong. */
  check?(steps: CheckSteps<Data>, run: Calls<A>): Promise<void>;
  /**
   * When the flow has ended, whatever way, before the lock is given back. What it left on nodes is the business of
   * `cleanUp` in `activities.ts`: the node calls that by itself even when nobody reaches it any more.
   */
  cleanUp?(run: Calls<A>): Promise<void>;
}

/** Keeps the types of activities and data together. */
export const defineFlow = <A extends Activities, Data>(flow: Flow<A, Data>): Flow<A, Data> => flow;
