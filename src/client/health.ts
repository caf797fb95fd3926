import type { Client } from '@temporalio/client';
import type { NodeInfo } from '../domain/cluster.ts';
import { coordinatorQueue, nodeControlQueue } from '../domain/cluster.ts';
import type { OperationState } from './progress.ts';
import { stateOf } from './progress.ts';

/** Which workers are there, as Temporal sees them, and which operations run. */

export interface NodeHealth {
  node: string;
  az: string;
  alive: boolean;
  /** When a worker of it last asked for work (ISO 8601); null when none did of late. */
  lastSeen: string | null;
  /** Identity of that worker. */
  worker: string | null;
  /** Of homarus, that this worker runs; null where Temporal does not tell. */
  version: string | null;
}

export interface ListedOperation {
  id: string;
  kind: string;
  state: OperationState;
  started: string;
  ended: string | null;
  by: string;
}

/** A worker asks for work at least once a minute, and Temporal remembers askers for five, ms. */
export const ASKS_WITHIN = 75_000;

const ACTIVITY = 2;
const WORKFLOW = 1;

/** Alive is who polls the node's own small queue; it does so however busy the node is. */
export function nodesOf(client: Client, cluster: string, nodes: readonly NodeInfo[], now: Date): Promise<NodeHealth[]> {
  return Promise.all(
    nodes.map(async ({ id, az }) => {
      const [last] = await controlPollers(client, cluster, id);
      const alive = last !== undefined && isAlive(last, now);
      const lastSeen = last ? new Date(last.seen).toISOString() : null;
      return { node: id, az, alive, lastSeen, worker: last?.worker ?? null, version: last?.version ?? null };
    }),
  );
}

/** How many coordinators are at work. */
export async function coordinatorsOf(client: Client, cluster: string, now: Date): Promise<number> {
  return (await coordinatorVersions(client, cluster, now)).length;
}

/** The version of homarus of each coordinator at work; null where Temporal does not tell. */
export async function coordinatorVersions(client: Client, cluster: string, now: Date): Promise<(string | null)[]> {
  const known = await pollers(client, coordinatorQueue(cluster), WORKFLOW);
  return known.filter((poller) => isAlive(poller, now)).map(({ version }) => version);
}

export interface WhichOperations {
  /** Only those that have not ended. */
  running?: boolean;
  /** So many of the latest. */
  limit?: number;
}

/** The operations of a cluster that Temporal still knows, the latest first. */
export async function listOperations(
  client: Client,
  cluster: string,
  { running = false, limit = Number.POSITIVE_INFINITY }: WhichOperations = {},
): Promise<ListedOperation[]> {
  const query = `TaskQueue = "${coordinatorQueue(cluster)}"${running ? ' AND ExecutionStatus = "Running"' : ''}`;
  const listed: ListedOperation[] = [];
  for await (const execution of client.workflow.list({ query })) {
    const { workflowId: id, type: kind, startTime, closeTime, status } = execution;
    const { by = '' } = (execution.memo?.homarus ?? {}) as { by?: string };
    const times = { started: startTime.toISOString(), ended: closeTime?.toISOString() ?? null };
    listed.push({ id, kind, state: stateOf(status.name), ...times, by });
    // Temporal answers the latest first.
    if (listed.length >= limit) break;
  }
  return listed.toSorted((a, b) => (a.started < b.started ? 1 : -1));
}

/** The operations of a cluster that have not ended, the latest first. */
export const runningOperations = (client: Client, cluster: string): Promise<ListedOperation[]> =>
  listOperations(client, cluster, { running: true });

export interface Poller {
  worker: string;
  /** When it last asked for work, ms since the epoch by Temporal's clock. */
  seen: number;
  version: string | null;
}

const isAlive = ({ seen }: Poller, now: Date): boolean => now.getTime() - seen < ASKS_WITHIN;

/** Who served a node of late: its own small queue is asked however busy the node is. The latest first. */
export const controlPollers = (client: Client, cluster: string, node: string): Promise<Poller[]> =>
  pollers(client, nodeControlQueue(cluster, node), ACTIVITY);

/** The latest first. */
async function pollers(client: Client, queue: string, kind: number): Promise<Poller[]> {
  const { pollers = [] } = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name: queue },
    taskQueueType: kind,
  });
  return (pollers ?? [])
    .map(({ identity, lastAccessTime, deploymentOptions }) => ({
      worker: identity ?? '',
      version: deploymentOptions?.buildId || null,
      seen: Number(lastAccessTime?.seconds ?? 0) * 1000 + Math.floor((lastAccessTime?.nanos ?? 0) / 1e6),
    }))
    .toSorted((a, b) => b.seen - a.seen);
}
