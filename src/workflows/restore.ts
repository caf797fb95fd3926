import type { RestoreWork } from '../activities/node.ts';
import type { RestorePlan } from '../domain/operations.ts';
import type { RestoreRequest } from '../domain/requests.ts';
import type { RestoreResult, Skipped } from '../domain/results.ts';
import { filesOf, formatBytes } from '../domain/text.ts';
import { files } from '../plugins/files/flow.ts';
import { flows } from '../plugins/flows.ts';
import type { CheckSteps, Flow, RestoreSteps } from '../plugins/plugin.ts';
import { coordinatorSteps, nodeWork } from './activityProxies.ts';
import type { Locked } from './clusterLock.ts';
import { failure } from './failures.ts';
import { Operation } from './operation.ts';
import { pluginCalls, runFlow, stepsOf, versionOf } from './pluginCalls.ts';

/** Brings a backup back to the nodes of the cluster; only the nodes that take part are locked. */
export async function restore(cluster: string, request: RestoreRequest): Promise<RestoreResult | Skipped> {
  const operation = new Operation('restore', cluster, request);
  return operation.ends(async () => {
    const plan = await coordinatorSteps.planRestore({ request });
    const { settings, backup, pairs } = plan;
    operation.knows(settings);
    operation.names(backup.name);
    const flow = flowFor(plan, request);
    const checking = request.check ? checkingFlow(plan) : undefined;
    const taking = new Set(pairs.map((pair) => pair.to));
    return operation.attempts(
      (attempt) => ({
        attempt,
        storageName: settings.storage,
        settings,
        lockStorage: plan.lockStorage,
        nodes: () => settings.nodes.filter((node) => taking.has(node.id)),
        plugin: () => ((checking ?? flow) === files ? null : versionOf(checking ?? flow)),
      }),
      async (locked) => {
        const result = await attemptRestore(operation, locked, plan, request, flow);
        if (checking === undefined) return result;
        await check(operation, locked, plan, request, checking);
        return { ...result, checked: true };
      },
    );
  });
}

/** What a node is asked to restore. */
export function workOf(
  { settings, repository, backup, pairs }: RestorePlan,
  request: RestoreRequest,
  node: string,
): Omit<RestoreWork, 'operation'> {
  const { from } = pairs.find((pair) => pair.to === node)!;
  const { paths = [], to, verifyExisting = false } = request;
  return { storageName: settings.storage, repository, backup, from, paths, to: to ?? null, verifyExisting };
}

/** For people: a part of it may be there already, or not be asked for. */
export const todoOf = ({ pairs, bytesOf }: RestorePlan, node: string): string =>
  pairs
    .filter(({ to }) => to === node)
    .map(({ from }) => `${formatBytes(bytesOf[from] ?? 0)}${from === node ? '' : ` of ${from}`}`)
    .join(', ');

/** Only some nodes or paths: what belongs to the whole cluster is left alone. */
export const isPartial = ({ paths = [], nodes }: RestoreRequest): boolean => paths.length > 0 || nodes !== undefined;

/** Into another directory, files are just files; into place, they belong to the plugin that stored them. */
export function flowFor(plan: RestorePlan, { to }: RestoreRequest): Flow {
  return to !== undefined || plan.plugin.name === files.name ? files : flowOf(plan);
}

/** Of the plugin that made the backup: ours must be the same, and not older. */
function flowOf({ plugin, backup, settings }: RestorePlan): Flow {
  const flow = flows[plugin.name];
  const what = `backup ${backup.name} was made by plugin "${plugin.name}" in version ${plugin.version}`;
  if (flow === undefined || settings.plugin !== plugin.name) {
    throw failure('PluginMismatch', `${what}; the configuration has "${settings.plugin}"`);
  }
  if (plugin.version > flow.version) throw failure('PluginTooOld', `${what}; this one has version ${flow.version}`);
  return flow;
}

async function attemptRestore(
  operation: Operation,
  locked: Locked,
  plan: RestorePlan,
  request: RestoreRequest,
  flow: Flow,
): Promise<RestoreResult> {
  const { settings, backup, pairs, missing } = plan;
  const grants = new Map(locked.nodes.map((grant) => [grant.node, grant]));
  const result: RestoreResult = {
    backup: backup.name,
    pairs,
    missing,
    files: 0,
    bytes: 0,
    kept: 0,
    fetchedBytes: 0,
    removed: 0,
  };
  const steps: RestoreSteps<unknown> = {
    ...restoredOf(flow, locked, plan, request),
    async restore() {
      const receipts = await operation.eachNode(
        'restore',
        [...grants.keys()],
        (node, todo) =>
          nodeWork(settings.cluster, node, settings.lock, todo).restoreNode({
            grant: grants.get(node)!,
            storage: locked.storage ?? null,
            ...workOf(plan, request, node),
          }),
        {
          todo: (node) => todoOf(plan, node),
          did: (receipt) => ({
            text: `${filesOf(receipt)}, ${formatBytes(receipt.fetchedBytes)} fetched`,
            bytes: receipt.fetchedBytes,
          }),
        },
      );
      for (const receipt of receipts) {
        for (const count of ['files', 'bytes', 'kept', 'fetchedBytes', 'removed'] as const) {
          result[count] += receipt[count];
        }
      }
    },
  };
  const run = callsOf(flow, operation, locked, plan);
  const answer = await runFlow(flow, run, () => flow.restore(steps, run));
  return answer === undefined || answer === null ? result : { ...result, plugin: answer };
}

/** What proves data of the backup's plugin; `BadInput` when it has nothing for that. */
export function checkingFlow(plan: RestorePlan): Flow {
  const flow = flowOf(plan);
  if (flow.check !== undefined) return flow;
  const what = `plugin "${flow.name}" has no check of its own`;
  throw failure('BadInput', `check: ${what}; what was restored is compared with its hashes in any case`);
}

/** Runs the plugin's check of what `request` restored. A restore drill asks the same. */
export async function check(
  operation: Operation,
  locked: Locked,
  plan: RestorePlan,
  request: RestoreRequest,
  flow: Flow,
  to: ((node: string) => string) | undefined = request.to === undefined ? undefined : () => request.to as string,
): Promise<void> {
  const steps: CheckSteps<unknown> = { ...restoredOf(flow, locked, plan, request), to: request.to ?? null };
  const run = callsOf(flow, operation, locked, plan, to);
  await runFlow(flow, run, async () => flow.check?.(steps, run));
}

/** What the steps of a restore, its preview and its check have in common. */
export const restoredOf = (flow: Flow, locked: Locked, plan: RestorePlan, request: RestoreRequest) => ({
  ...stepsOf(flow, locked, plan.missing),
  backup: plan.backup,
  pairs: plan.pairs,
  data: plan.plugin.data,
  version: plan.plugin.version,
  partial: isPartial(request),
});

export const callsOf = (
  flow: Flow,
  operation: Operation,
  locked: Locked,
  plan: RestorePlan,
  to?: (node: string) => string,
) =>
  pluginCalls(flow, {
    ...{ operation, locked, to },
    work: {
      operation: locked.attempt.operation,
      storage: plan.settings.storage,
      repository: plan.repository,
      backup: plan.backup,
    },
    onStreams: () => undefined,
  });
