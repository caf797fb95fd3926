import type { RestoreRequest, RestoreResult } from '../domain/operations.ts';
import { flows } from '../plugins/flows.ts';
import { coordinatorSteps, nodeWork } from './activityProxies.ts';
import { failure, unwrap } from './failures.ts';
import { Operation } from './operation.ts';

/** Brings a backup back to the nodes of the cluster; only the nodes that take part are locked. */
export async function restore(cluster: string, request: RestoreRequest): Promise<RestoreResult> {
  const operation = new Operation('restore', cluster, request);
  const plan = await coordinatorSteps.planRestore({ request }).catch((error: unknown) => {
    throw unwrap(error);
  });
  const { settings, backup, pairs, missing } = plan;
  operation.names(backup.name);
  const flow = flows[backup.plugin];
  if (flow === undefined) throw failure('BadInput', `backup ${backup.name} needs the plugin "${backup.plugin}"`);
  const taking = new Set(pairs.map((pair) => pair.to));
  return operation.attempts(
    (attempt) => ({
      attempt,
      storageName: settings.storage,
      settings,
      lockStorage: plan.lockStorage,
      nodes: () => settings.nodes.filter((node) => taking.has(node.id)),
    }),
    async (locked) => {
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
      await flow.restore({
        async restore() {
          const receipts = await operation.eachNode('restore', [...grants.keys()], (node) =>
            nodeWork(settings.cluster, node, settings.lock).restoreNode({
              grant: grants.get(node)!,
              storage: locked.storage ?? null,
              storageName: settings.storage,
              repository: plan.repository,
              backup,
              from: pairs.find((pair) => pair.to === node)!.from,
              paths: request.paths ?? [],
              to: request.to ?? null,
              verifyExisting: request.verifyExisting ?? false,
            }),
          );
          for (const receipt of receipts) {
            for (const count of ['files', 'bytes', 'kept', 'fetchedBytes', 'removed'] as const) {
              result[count] += receipt[count];
            }
          }
        },
      });
      return result;
    },
  );
}
