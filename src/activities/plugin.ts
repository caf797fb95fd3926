import type { NodeInfo } from '../domain/cluster.ts';
import type { BackupEntry } from '../domain/documents.ts';
import { HomarusError } from '../domain/errors.ts';
import type { NodeGrant, NodeProgress, PluginVersion, StorageGrant, StreamReceipt } from '../domain/operations.ts';
import { rootsIn } from '../node/restoreNode.ts';
import type { LoadedPlugin } from '../plugins/load.ts';
import type { CoordinatorContext, NodeContext, Notes } from '../plugins/module.ts';
import type { Place } from '../plugins/plugin.ts';
import type { CallOptions } from '../storage/objectStore.ts';
import type { Repository } from '../storage/repository.ts';
import { presentRoot } from '../storage/roots.ts';
import { readStream, writeStream } from '../storage/streams.ts';
import type { Log } from '../telemetry.ts';
import { atTheDoor } from './inputs.ts';

/** Temporal's view of a plugin: its activities under its name, with what they need at hand. */

/** What a plugin works on. */
export interface PluginWork {
  operation: string;
  /** Name of the storage, and id of the repository in it. */
  storage: string;
  repository: string;
  /** Of a backup that is being made. */
  grant?: StorageGrant;
  /** The one that is being restored. */
  backup?: BackupEntry;
}

/** What an activity on a coordinator answers to the workflow, which hands the plugin its output. */
export interface PluginAnswer {
  output: unknown;
  streams: StreamReceipt[];
}

/** `to`: the directory that holds the node's roots instead of their places, where files were restored elsewhere. */
export type NodePluginActivity = (input: {
  grant: NodeGrant;
  input: unknown;
  to?: string | undefined;
}) => Promise<unknown>;
export type CoordinatorPluginActivity = (input: { work: PluginWork; input: unknown }) => Promise<PluginAnswer>;

export const versionOf = ({ flow }: LoadedPlugin): PluginVersion => ({ name: flow.name, version: flow.version });

type Run = (input: unknown, context: unknown) => Promise<unknown>;

/** The plugin's activities of these places, by the type under which workflows call them. */
function activitiesOn(plugin: LoadedPlugin, ...places: Place[]): [type: string, run: Run][] {
  const { flow, module } = plugin;
  return Object.entries(flow.activities)
    .filter(([, { place }]) => places.includes(place))
    .map(([name]) => [`${flow.name}.${name}`, module.activities[name] as unknown as Run]);
}

/** An error that is not ours was made by the plugin's author, or by a client of a database: both mean the plugin. */
function asOurs(plugin: LoadedPlugin, where: string, error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  if (error instanceof HomarusError) return error;
  const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) };
  const text = name === 'Error' ? message : `${name}: ${message}`;
  return new HomarusError('PluginFailed', `plugin ${plugin.flow.name}${where}: ${text}`, { cause: error });
}

const failureOf =
  (plugin: LoadedPlugin, where: string) =>
  (message: string, options: { hint?: string; cause?: unknown } = {}): Error =>
    new HomarusError('PluginFailed', `plugin ${plugin.flow.name}${where}: ${message}`, options);

export interface CoordinatorPluginDeps {
  readonly plugin: LoadedPlugin;
  readonly cluster: string;
  readonly nodes: readonly NodeInfo[];
  /** Any cluster's: what is restored may be another's. */
  repository(storage: string, options: CallOptions & { id: string }): Promise<Repository>;
  /** Runs an activity's body so that it stops in time. */
  alive<T>(body: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** For temporary files. */
  readonly directory: string;
  readonly log: Log;
}

export function coordinatorPluginActivities(deps: CoordinatorPluginDeps): Record<string, CoordinatorPluginActivity> {
  const { plugin } = deps;
  const call =
    (run: Run): CoordinatorPluginActivity =>
    ({ work, input }) =>
      deps.alive(async (signal) => {
        const streams: StreamReceipt[] = [];
        try {
          return { output: (await run(input, contextOf(deps, work, streams, signal))) ?? null, streams };
        } catch (error) {
          throw asOurs(plugin, '', error, signal);
        }
      });
  return atTheDoor(Object.fromEntries(activitiesOn(plugin, 'coordinator').map(([type, run]) => [type, call(run)])));
}

function contextOf(
  deps: CoordinatorPluginDeps,
  work: PluginWork,
  streams: StreamReceipt[],
  signal: AbortSignal,
): CoordinatorContext {
  const { plugin, cluster, nodes, directory, log } = deps;
  const opened = (): Promise<Repository> => deps.repository(work.storage, { id: work.repository, signal });
  return {
    options: plugin.options,
    cluster,
    nodes,
    operation: work.operation,
    signal,
    log,
    failure: failureOf(plugin, ''),
    async backups() {
      return (await presentRoot(await opened(), { signal })).root.backups;
    },
    streams: {
      async write(name, source, { cuts = 'fixed' } = {}) {
        const { grant } = work;
        if (grant === undefined) throw new HomarusError('Internal', `only a backup stores streams; this is none`);
        const receipt = await writeStream(await opened(), { grant, name, cuts }, source, { signal, directory });
        streams.push(receipt);
        return { bytes: receipt.bytes };
      },
      async *read(name) {
        const { backup } = work;
        if (backup === undefined) throw new HomarusError('Internal', `only a restore reads streams; this is none`);
        yield* readStream(await opened(), backup, name, { signal });
      },
    },
  };
}

export interface NodePluginDeps {
  readonly plugin: LoadedPlugin;
  readonly cluster: string;
  readonly node: NodeContext['node'];
  readonly notes: Notes;
  readonly log: Log;
}

/** A plugin on one node: its activities, and the clean-up of what they left. */
export class NodePlugin {
  readonly #deps: NodePluginDeps;
  #cleaning: Promise<void> = Promise.resolve();

  constructor(deps: NodePluginDeps) {
    this.#deps = deps;
  }

  get version(): PluginVersion {
    return versionOf(this.#deps.plugin);
  }

  /** `underGrant` runs work under the node's part of the lock. */
  activities(
    underGrant: <T>(
      grant: NodeGrant,
      work: (run: { signal: AbortSignal; onProgress(progress: NodeProgress): void }) => Promise<T>,
    ) => Promise<T>,
  ): Record<string, NodePluginActivity> {
    const { plugin } = this.#deps;
    const call =
      (run: Run): NodePluginActivity =>
      ({ grant, input, to }) =>
        underGrant(grant, async ({ signal }) => {
          await this.#cleaning;
          try {
            return (await run(input, this.#context(grant.attempt.operation, signal, to))) ?? null;
          } catch (error) {
            throw asOurs(plugin, this.#where, error, signal);
          }
        });
    return Object.fromEntries(activitiesOn(plugin, 'everyNode', 'oneNode').map(([type, run]) => [type, call(run)]));
  }

  /** Undoes what an operation that has ended here left; never rejects. One at a time, and before the next work. */
  cleanUp(operation: string): Promise<void> {
    const { plugin, log, node } = this.#deps;
    this.#cleaning = this.#cleaning.then(async () => {
      try {
        await plugin.module.cleanUp?.(this.#context(operation, new AbortController().signal));
      } catch (error) {
        log('error', `plugin ${plugin.flow.name} could not clean up on node ${node.id}: ${(error as Error).message}`);
      }
    });
    return this.#cleaning;
  }

  get #where(): string {
    return ` on node ${this.#deps.node.id}`;
  }

  #context(operation: string, signal: AbortSignal, to?: string): NodeContext {
    const { plugin, cluster, node, notes, log } = this.#deps;
    const roots = to === undefined ? node.roots : rootsIn(to, node.roots);
    return {
      options: plugin.options,
      cluster,
      operation,
      signal,
      log,
      failure: failureOf(plugin, this.#where),
      node: { ...node, roots },
      notes,
    };
  }
}
