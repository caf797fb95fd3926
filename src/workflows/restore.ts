import type { RestoreWork } from '../activities/node.ts';
import type { RestorePlan, RestoreRequest, RestoreResult } from '../domain/operations.ts';
import { files } from '../plugins/files/flow.ts';
import { flows } from '../plugins/flows.ts';
import type { Flow, RestoreSteps } from '../plugins/plugin.ts';
import { coordinatorSteps, nodeWork } from './activityProxies.ts';
import type { Locked } from './clusterLock.ts';
import { failure, unwrap } from './failures.ts';
import { Operation } from './operation.ts';
import { pluginCalls, runFlow, stepsOf, versionOf } from './pluginCalls.ts';

/** Brings a backup back to the nodes of the cluster; only the nodes that take part are locked. */
export async function restore(cluster: string, request: RestoreRequest): Promise<RestoreResult> {
  const operation = new Operation('restore', cluster, request);
  const plan = await coordinatorSteps.planRestore({ request }).catch((error: unknown) => {
    throw unwrap(error);
  });
  const { settings, backup, pairs } = plan;
  operation.names(backup.name);
  const flow = flowFor(plan, request);
  const taking = new Set(pairs.map((pair) => pair.to));
  return operation.attempts(
    (attempt) => ({
      attempt,
      storageName: settings.storage,
      settings,
      lockStorage: plan.lockStorage,
      nodes: () => settings.nodes.filter((node) => taking.has(node.id)),
      plugin: () => (flow === files ? null : versionOf(flow)),
    }),
    (locked) => attemptRestore(operation, locked, plan, request, flow),
  );
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

/** Only some nodes or paths: what belongs to the whole cluster is left alone. */
export const isPartial = ({ paths = [], nodes }: RestoreRequest): boolean => paths.length > 0 || nodes !== undefined;

/** Into another directory, files are just files; into place, they belong to the plugin that stored them. */
export function flowFor({ plugin, backup, settings }: RestorePlan, { to }: RestoreRequest): Flow {
  if (to !== undefined || plugin.name === files.name) return files;
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
    ...stepsOf(flow, locked, missing),
    backup,
    pairs,
    data: plan.plugin.data,
    version: plan.plugin.version,
    partial: isPartial(request),
    async restore() {
      const receipts = await operation.eachNode('restore', [...grants.keys()], (node) =>
        nodeWork(settings.cluster, node, settings.lock).restoreNode({
          grant: grants.get(node)!,
          storage: locked.storage ?? null,
          ...workOf(plan, request, node),
        }),
      );
      for (const receipt of receipts) {
        for (const count of ['files', 'bytes', 'kept', 'fetchedBytes', 'removed'] as const) {
          result[count] += receipt[count];
        }
      }
    },
  };
  const run = pluginCalls(flow, {
    operation,
    locked,
    work: { operation: locked.attempt.operation, storage: settings.storage, repository: plan.repository, backup },
    onStreams: () => undefined,
  });
  const answer = await runFlow(flow, run, () => flow.restore(steps, run));
  return answer === undefined || answer === null ? result : { ...result, plugin: answer };
}
