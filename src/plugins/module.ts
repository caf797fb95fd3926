import type { z } from 'zod';
import type { NodeInfo } from '../domain/cluster.ts';
import type { BackupEntry } from '../domain/documents.ts';
import type { Log } from '../telemetry.ts';
import type { FileSelection } from './fileOptions.ts';
import type { Activities, Activity, Flow, Place } from './plugin.ts';

/** The contract of what a plugin does to the world: its options, and its activities, which do the I/O. */

export type Zod = typeof z;

/** `options.ts`: what an operator may say. It loads no client of a database: every command reads the configuration. */
export interface OptionsModule<Options = unknown> {
  /** Made with the zod that is handed in, so that a plugin from outside needs none of its own. */
  options(z: Zod): z.ZodType<Options>;
  /** Which files are backed up; all without it. */
  selection?(options: Options): FileSelection;
  /** How the options do not fit the nodes of the configuration. */
  faults?(options: Options, nodes: readonly NodeInfo[]): OptionsFault[];
}

export interface OptionsFault {
  /** Of the field, below the options. */
  path: readonly PropertyKey[];
  message: string;
}

interface Context<Options> {
  /** From the configuration of the machine where it runs: secrets come from its environment, never through Temporal. */
  readonly options: Options;
  readonly cluster: string;
  /** The operation's id. */
  readonly operation: string;
  /** Aborted when the work is to stop: cancelled, or the lock is lost. Whoever ignores it delays everybody. */
  readonly signal: AbortSignal;
  readonly log: Log;
  /** An error with words for people; `hint` says what to do. */
  failure(message: string, options?: { hint?: string; cause?: unknown }): Error;
}

/** What an activity on a node has at hand. */
export interface NodeContext<Options = unknown> extends Context<Options> {
  readonly node: {
    readonly id: string;
    readonly az: string;
    readonly roots: readonly { name: string; path: string }[];
  };
  /** What `cleanUp` must know, kept on this node's disk: note it before doing what must be undone. */
  readonly notes: Notes;
}

export interface Notes {
  /** Undefined when nothing is noted. */
  read<T>(): T | undefined;
  write(note: unknown): void;
  clear(): void;
}

/** What an activity on a coordinator has at hand. */
export interface CoordinatorContext<Options = unknown> extends Context<Options> {
  readonly nodes: readonly NodeInfo[];
  readonly streams: Streams;
  /** The backups that are listed now. */
  backups(): Promise<readonly BackupEntry[]>;
}

/** Content that is no file, stored in the backup like one: content-addressed, never in Temporal's history. */
export interface Streams {
  /**
   * Stores a stream of the backup that is being made. `cuts`: `fixed` as files are cut, or `given`: each part that the
   * source yields is a chunk (at most 16 MiB), for those who know where equal content begins.
   */
  write(
    name: string,
    source: AsyncIterable<Uint8Array>,
    options?: { cuts?: 'fixed' | 'given' },
  ): Promise<{ bytes: number }>;
  /** Reads a stream of the backup that is being restored, verified; its chunks as they were stored. */
  read(name: string): AsyncIterable<Buffer>;
}

type ContextOf<P extends Place, Options> = P extends 'coordinator' ? CoordinatorContext<Options> : NodeContext<Options>;

/** The functions behind what a flow declares. They may be stopped anywhere, and are then run again. */
export type Implementations<A extends Activities, Options> = {
  readonly [K in keyof A]: A[K] extends Activity<infer P, infer Input, infer Output>
    ? (input: Input, context: ContextOf<P, Options>) => Promise<Output>
    : never;
};

/** `activities.ts`. */
export interface ActivitiesModule<A extends Activities = Activities, Options = unknown> {
  readonly activities: Implementations<A, Options>;
  /**
   * Undoes what is left on a node of an operation that has ended there: called by the node itself when the operation
   * gives it back, when its lock ran out, and when it starts. Nothing left: nothing done.
   */
  cleanUp?(context: NodeContext<Options>): Promise<void>;
}

/** Keeps the activities true to what the flow declares; `Options` are those of `options.ts`. */
export const defineActivities =
  <Options>() =>
  <A extends Activities, Data>(
    _flow: Flow<A, Data>,
    module: ActivitiesModule<A, Options>,
  ): ActivitiesModule<A, Options> =>
    module;
