import type { ActivityInterfaceFor } from '@temporalio/workflow';
import { proxyActivities } from '@temporalio/workflow';
import type { ControlActivities } from '../activities/control.ts';
import type { CoordinatorActivities } from '../activities/coordinator.ts';
import type { NodeActivities } from '../activities/node.ts';
import type { CoordinatorPluginActivity, NodePluginActivity } from '../activities/plugin.ts';
import { nodeControlQueue, nodeQueue } from '../domain/cluster.ts';
import type { LockTimes } from '../domain/operations.ts';
import * as timeouts from './timeouts.ts';

/** The activities as workflows call them: who runs them, and the row of the table of time-outs. */

export const coordinatorSteps = proxyActivities<CoordinatorActivities>(timeouts.coordinatorStep);

/** `target`: for Temporal's UI. */
export const notices = (target: string): ActivityInterfaceFor<CoordinatorActivities> =>
  proxyActivities<CoordinatorActivities>({ ...timeouts.noticeOptions, summary: target });

export const coordinatorWork = (lock: LockTimes): ActivityInterfaceFor<CoordinatorActivities> =>
  proxyActivities<CoordinatorActivities>(timeouts.coordinatorWork(lock));

export const storageKeeper = (lock: LockTimes): ActivityInterfaceFor<CoordinatorActivities> =>
  proxyActivities<CoordinatorActivities>({ ...timeouts.keeper(lock), summary: 'the storage' });

export const storageRelease = (lock: LockTimes): ActivityInterfaceFor<CoordinatorActivities> =>
  proxyActivities<CoordinatorActivities>({ ...timeouts.releaseStorageOptions(lock), summary: 'the storage' });

type NodeStep = 'acquire' | 'keep' | 'release';

export function control(
  cluster: string,
  node: string,
  step: NodeStep,
  lock: LockTimes,
): ActivityInterfaceFor<ControlActivities> {
  const options = {
    acquire: () => timeouts.acquireNodeOptions,
    keep: () => timeouts.keeper(lock),
    release: () => timeouts.releaseNodeOptions(lock),
  }[step]();
  return proxyActivities<ControlActivities>({
    ...options,
    taskQueue: nodeControlQueue(cluster, node),
    summary: `${node}`,
  });
}

/** What needs no part of the lock: a node that does not take it up in time is not waited for. */
export const onlyReading = (cluster: string, node: string, lock: LockTimes): ActivityInterfaceFor<NodeActivities> =>
  proxyActivities<NodeActivities>({
    ...timeouts.onlyReadingOptions(lock),
    taskQueue: nodeQueue(cluster, node),
    summary: node,
  });

/** An activity of a plugin by its type, `<plugin>.<activity>`. */
export const coordinatorPlugin = (lock: LockTimes, type: string): CoordinatorPluginActivity =>
  proxyActivities<Record<string, CoordinatorPluginActivity>>(timeouts.coordinatorWork(lock))[
    type
  ] as CoordinatorPluginActivity;

export const nodePlugin = (cluster: string, node: string, lock: LockTimes, type: string): NodePluginActivity =>
  proxyActivities<Record<string, NodePluginActivity>>({
    ...timeouts.nodeWork(lock),
    taskQueue: nodeQueue(cluster, node),
    summary: node,
  })[type] as NodePluginActivity;

/** `todo`: what it is, for Temporal's UI. */
export const nodeWork = (
  cluster: string,
  node: string,
  lock: LockTimes,
  todo = '',
): ActivityInterfaceFor<NodeActivities> =>
  proxyActivities<NodeActivities>({
    ...timeouts.nodeWork(lock),
    taskQueue: nodeQueue(cluster, node),
    summary: todo === '' ? node : `${node}: ${todo}`,
  });
