import type { Client } from '@temporalio/client';
import type { NodeInfo } from '../domain/cluster.ts';
import { coordinatorQueue, nodeControlQueue } from '../domain/cluster.ts';

/** Which workers are there, as Temporal sees them, and which operations run. */

export interface NodeHealth {
  node: string;
  az: string;
  alive: boolean;
  /** When a worker of it last asked for work (ISO 8601); null when none did of late. */
  lastSeen: string | null;
  /** Identity of that worker. */
  worker: string | null;
}

export interface RunningOperation {
  id: string;
  kind: string;
  started: string;
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
      return { node: id, az, alive, lastSeen, worker: last?.worker ?? null };
    }),
  );
}

/** How many coordinators are at work. */
export async function coordinatorsOf(client: Client, cluster: string, now: Date): Promise<number> {
  const known = await pollers(client, coordinatorQueue(cluster), WORKFLOW);
  return known.filter((poller) => isAlive(poller, now)).length;
}

/** The operations of a cluster that have not ended, the latest first. */
export async function runningOperations(client: Client, cluster: string): Promise<RunningOperation[]> {
  const query = `ExecutionStatus = "Running" AND TaskQueue = "${coordinatorQueue(cluster)}"`;
  const running: RunningOperation[] = [];
  for await (const { workflowId, type, startTime, memo } of client.workflow.list({ query })) {
    const { by = '' } = (memo?.homarus ?? {}) as { by?: string };
    running.push({ id: workflowId, kind: type, started: startTime.toISOString(), by });
  }
  return running.toSorted((a, b) => (a.started < b.started ? 1 : -1));
}

export interface Poller {
  worker: string;
  /** When it last asked for work, ms since the epoch by Temporal's clock. */
  seen: number;
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
    .map(({ identity, lastAccessTime }) => ({
      worker: identity ?? '',
      seen: Number(lastAccessTime?.seconds ?? 0) * 1000 + Math.floor((lastAccessTime?.nanos ?? 0) / 1e6),
    }))
    .toSorted((a, b) => b.seen - a.seen);
}
