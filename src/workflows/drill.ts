import { isCancellation, log, workflowInfo } from '@temporalio/workflow';
import { drillDirectory, expectedRestore } from '../domain/drill.ts';
import type { DrillPlan, DrillReceipt } from '../domain/operations.ts';
import type { DrillRequest, RestoreRequest } from '../domain/requests.ts';
import type { DrillRecord, DrillResult, Skipped } from '../domain/results.ts';
import { formatBytes } from '../domain/text.ts';
import { coordinatorSteps, nodeWork } from './activityProxies.ts';
import type { Locked } from './clusterLock.ts';
import { codeOf, messageOf, unwrap } from './failures.ts';
import { Operation, uncancelled } from './operation.ts';
import { versionOf } from './pluginCalls.ts';
import { check, checkingFlow, todoOf } from './restore.ts';

/**
 * Proves that a backup can be restored: restores it into a scratch directory, compares, lets the plugin check it, deletes
 * it, and keeps with the backup how that went and how long a real restore would take. Only nodes are locked.
 */
export async function drill(cluster: string, request: DrillRequest = {}): Promise<DrillResult | Skipped> {
  const operation = new Operation('drill', cluster, request);
  return operation.ends(async () => {
    const plan = await coordinatorSteps.planDrill({ request });
    const { settings, backup, pairs } = plan;
    operation.knows(settings);
    operation.names(backup.name);
    const checking = request.check ? checkingFlow(plan) : undefined;
    const taking = new Set(pairs.map((pair) => pair.to));
    return operation.attempts(
      (attempt) => ({
        ...{ attempt, settings, storageName: settings.storage, lockStorage: false },
        nodes: () => settings.nodes.filter((node) => taking.has(node.id)),
        plugin: () => (checking === undefined ? null : versionOf(checking)),
      }),
      async (locked) => {
        try {
          const receipts = await restoreAll(operation, locked, plan);
          if (checking !== undefined) {
            const asked: RestoreRequest = { backup: backup.name, to: plan.directory };
            const to = (node: string): string => drillDirectory(plan.directory, workflowInfo().workflowId, node);
            await check(operation, locked, plan, asked, checking, to);
          }
          await removeAll(operation, locked);
          const result = resultOf(plan, receipts, checking !== undefined);
          await record(operation, plan, { ...result, ok: true });
          return result;
        } catch (error) {
          const reason = unwrap(error);
          if (!isCancellation(reason)) {
            const failed = {
              ...resultOf(plan, [], false),
              ok: false,
              reason: `${codeOf(reason)}: ${messageOf(reason)}`,
            };
            await uncancelled(() => record(operation, plan, failed));
          }
          throw reason;
        }
      },
    );
  });
}

function restoreAll(operation: Operation, locked: Locked, plan: DrillPlan): Promise<DrillReceipt[]> {
  const { settings, repository, backup, pairs, directory, sample } = plan;
  const grants = new Map(locked.nodes.map((grant) => [grant.node, grant]));
  return operation.eachNode(
    'restore',
    [...grants.keys()],
    (node, todo) =>
      nodeWork(settings.cluster, node, settings.lock, todo).drillNode({
        ...{ grant: grants.get(node)!, storageName: settings.storage, repository, backup, directory, sample },
        froms: pairs.filter((pair) => pair.to === node).map(({ from }) => from),
      }),
    {
      todo: (node) => `${sample.percent < 100 ? `${sample.percent} % of ` : ''}${todoOf(plan, node)}`,
      did: ({ trees }) => {
        const bytes = trees.reduce((all, tree) => all + tree.fetchedBytes, 0);
        return { text: `${formatBytes(bytes)} fetched`, bytes };
      },
    },
  );
}

/** Where this is not reached, each node does it by itself when its part of the lock is given back. */
async function removeAll(operation: Operation, { settings, nodes }: Locked): Promise<void> {
  const grants = new Map(nodes.map((grant) => [grant.node, grant]));
  await operation.eachNode('remove', [...grants.keys()], (node) =>
    nodeWork(settings.cluster, node, settings.lock).endDrill({ grant: grants.get(node)! }),
  );
}

function resultOf(plan: DrillPlan, receipts: readonly DrillReceipt[], checked: boolean): DrillResult {
  const trees = receipts.flatMap((receipt) => receipt.trees);
  const sum = (count: 'files' | 'bytes' | 'fetchedBytes'): number => trees.reduce((all, tree) => all + tree[count], 0);
  return {
    backup: plan.backup.name,
    pairs: plan.pairs,
    percent: plan.sample.percent,
    ...{ files: sum('files'), bytes: sum('bytes'), fetchedBytes: sum('fetchedBytes') },
    tookMs: Math.max(0, ...receipts.map((receipt) => receipt.trees.reduce((all, { ms }) => all + ms, 0))),
    expectedMs: expectedRestore(trees, plan.bytesOf),
    checked,
  };
}

/** A drill that nobody remembers was a drill all the same. */
async function record(
  operation: Operation,
  { settings, repository, backup }: DrillPlan,
  {
    ok,
    reason,
    percent,
    files,
    bytes,
    fetchedBytes,
    tookMs,
    expectedMs,
    checked,
  }: DrillResult & { ok: boolean; reason?: string },
): Promise<void> {
  operation.enter('record');
  const drilled: DrillRecord = {
    ...{ operation: workflowInfo().workflowId, ok, percent, files, bytes, fetchedBytes, tookMs, expectedMs, checked },
    ...(reason === undefined ? {} : { reason }),
  };
  const { storage } = settings;
  try {
    await coordinatorSteps.recordDrill({ storage, repository, backup: backup.name, by: operation.by, drill: drilled });
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.warn(`the drill of ${backup.name} is not kept with it: ${messageOf(unwrap(error))}`);
  }
}
