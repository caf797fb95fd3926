import { log, TemporalFailure } from '@temporalio/workflow';
import type { PluginAnswer, PluginWork } from '../activities/plugin.ts';
import { HomarusError } from '../domain/errors.ts';
import type { PluginVersion, StreamReceipt } from '../domain/operations.ts';
import type { Activities, Calls, Flow } from '../plugins/plugin.ts';
import { coordinatorPlugin, nodePlugin } from './activityProxies.ts';
import type { Locked } from './clusterLock.ts';
import { failure, messageOf, unwrap } from './failures.ts';
import type { Operation } from './operation.ts';
import { uncancelled } from './operation.ts';

/** How workflows run a plugin's flow. */

/** What a flow's activities are called with beside their input. */
export interface CallsOptions {
  operation: Operation;
  locked: Locked;
  work: PluginWork;
  /** Streams that its activities stored. */
  onStreams(streams: StreamReceipt[]): void;
  /** The directory on each node that the files were restored into; undefined: in place. */
  to?: ((node: string) => string) | undefined;
}

/** A flow's activities as functions: each runs where the flow declares, under the lock's grants. */
export function pluginCalls<A extends Activities>(flow: Flow<A>, options: CallsOptions): Calls<A> {
  const { operation, locked, work } = options;
  const { settings } = locked;
  const onNode = async (type: string, node: string, input: unknown): Promise<unknown> => {
    const grant = locked.nodes.find((one) => one.node === node);
    if (grant === undefined) throw failure('Internal', `plugin ${flow.name} asked node ${node}, which takes no part`);
    return nodePlugin(
      settings.cluster,
      node,
      settings.lock,
      type,
    )({
      ...{ grant, input: input ?? null },
      ...(options.to === undefined ? {} : { to: options.to(node) }),
    });
  };
  const onCoordinator = async (type: string, input: unknown): Promise<unknown> => {
    operation.atPlugin(type);
    const answer: PluginAnswer = await coordinatorPlugin(settings.lock, type)({ work, input: input ?? null });
    options.onStreams(answer.streams);
    return answer.output;
  };
  const calls = Object.entries(flow.activities).map(([name, { place }]) => {
    const type = `${flow.name}.${name}`;
    if (place === 'coordinator') return [name, (input: unknown) => onCoordinator(type, input)];
    if (place === 'oneNode') {
      return [
        name,
        (node: string, input: unknown) => {
          operation.atPlugin(type, [node]);
          return onNode(type, node, input);
        },
      ];
    }
    return [
      name,
      async (input: unknown) => {
        const nodes = locked.nodes.map(({ node }) => node);
        operation.atPlugin(type, nodes);
        const answers = await operation.onEach(nodes, (node) => onNode(type, node, input));
        return Object.fromEntries(nodes.map((node, place) => [node, answers[place]]));
      },
    ];
  });
  return Object.fromEntries(calls) as Calls<A>;
}

export const versionOf = ({ name, version }: Flow): PluginVersion => ({ name, version });

/** What the steps of every flow have in common. */
export const stepsOf = ({ name }: Flow, locked: Locked, missing: readonly string[]) => ({
  missing,
  nodes: locked.nodes.map(({ node }) => node),
  failure: (message: string, hint?: string): Error =>
    failure('PluginFailed', `plugin ${name}: ${message}`, undefined, hint),
});

/** Runs a part of a flow, and its clean-up whatever way that ended. */
export async function runFlow<A extends Activities, T>(
  flow: Flow<A>,
  run: Calls<A>,
  body: () => Promise<T>,
): Promise<T> {
  try {
    return await body();
  } catch (error) {
    // Anything else would block the workflow until somebody mends the flow.
    if (error instanceof TemporalFailure || error instanceof HomarusError) throw error;
    throw failure('PluginFailed', `plugin ${flow.name}: ${messageOf(error)}`, error);
  } finally {
    await uncancelled(async () => flow.cleanUp?.(run)).catch((error: unknown) => {
      log.warn(`plugin ${flow.name} could not clean up: ${messageOf(unwrap(error))}`);
    });
  }
}
