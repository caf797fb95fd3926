import { hostname } from 'node:os';
import type { Client, Connection } from '@temporalio/client';
import type { WorkerOptions } from '@temporalio/worker';
import { NativeConnection, Worker } from '@temporalio/worker';
import type { TokenJournal } from '../activities/journal.ts';
import { Liveness } from '../activities/liveness.ts';
import type { TemporalTarget } from '../client/connect.ts';
import { connectTemporal } from '../client/connect.ts';
import { HomarusError } from '../domain/errors.ts';
import type { LockTimes } from '../domain/operations.ts';
import { installRuntime, log } from '../telemetry.ts';
import { version } from '../version.ts';
import type { Started } from './supervisor.ts';

/** What every process of ours needs to serve task queues. */
export interface Serving {
  native: NativeConnection;
  acks: Connection;
  client: Client;
  liveness: Liveness;
  worker(options: Omit<WorkerOptions, 'connection' | 'namespace' | 'identity'>): Promise<Worker>;
  close(): Promise<void>;
}

export interface ServingOptions {
  target: TemporalTarget;
  /** Of a node, its id: for the log. */
  node?: string;
  /** What it is, for Temporal's UI: `node/n1`. */
  role: string;
  lock: LockTimes & { throttle: number };
  /** Where the process keeps its files. */
  directory: string;
  journal?: TokenJournal;
}

/** A worker that is told to stop lets its activities end for so long, then aborts them, ms. */
const GRACE = 2_000;
/** And is done after so long whatever they do, ms. */
const FORCE = 30_000;

/**
 * Long polls of a worker, for each kind of task. A server grants 1,200 of a kind to a namespace on each frontend
 * (`frontend.namespaceCount`), and every host of every cluster in it wants some: with the SDK's numbers (up to ten
 * a worker) a hundred nodes are too many. One suffices where tasks are few and long; of workflow tasks one is for those
 * that stick to a worker. And what the poll of a stopped process is handed is lost until a time-out: the fewer, the better.
 */
const ACTIVITY_POLLS = { type: 'simple-maximum', maximum: 1 } as const;
const WORKFLOW_POLLS = { type: 'simple-maximum', maximum: 2 } as const;

export async function serve({ target, node, role, lock, directory, journal }: ServingOptions): Promise<Serving> {
  installRuntime();
  const { connection: acks, client } = await connectTemporal(target, { retry: false });
  // Before polling: what a killed process of this node left is handed out again at once.
  const handed = await journal?.handBack(client);
  if (handed) log('info', `what a killed process ran was handed back: ${handed} activities`, node ? { node } : {});
  const { namespace, connectionOptions } = target;
  const native = await connectNative(connectionOptions);
  const identity = `${role}/${process.pid}@${hostname()}`;
  const liveness = new Liveness({
    acks,
    namespace,
    identity,
    fields: node === undefined ? {} : { node },
    everyMs: lock.throttle,
    directory,
    // Before the server gives the work to somebody else, and before the lease runs out.
    maxSilenceMs: Math.min(20_000, lock.heartbeat * 0.8, lock.ttl * 0.5),
    ...(journal ? { journal } : {}),
  });
  return {
    native,
    acks,
    client,
    liveness,
    worker: (options) =>
      Worker.create({
        connection: native,
        namespace,
        identity,
        // Told, not used: which worker takes what is not bound to versions.
        workerDeploymentOptions: {
          version: { deploymentName: 'homarus', buildId: version },
          useWorkerVersioning: false,
        },
        maxHeartbeatThrottleInterval: lock.throttle,
        shutdownGraceTime: GRACE,
        shutdownForceTime: FORCE,
        // Not maxConcurrent…Polls: the SDK declares those, and does not read them.
        activityTaskPollerBehavior: ACTIVITY_POLLS,
        workflowTaskPollerBehavior: WORKFLOW_POLLS,
        ...options,
      }),
    async close() {
      await native.close();
      await acks.close();
    },
  };
}

async function connectNative(options: TemporalTarget['connectionOptions']): Promise<NativeConnection> {
  const { address = 'localhost:7233', tls, apiKey, metadata } = options;
  try {
    return await NativeConnection.connect({
      address,
      ...(tls === undefined || tls === null ? {} : { tls }),
      ...(typeof apiKey === 'string' ? { apiKey } : {}),
      ...(metadata === undefined ? {} : { metadata: metadata as Record<string, string> }),
    });
  } catch (cause) {
    throw new HomarusError(
      'TemporalUnreachable',
      `Temporal does not answer at ${address}: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
}

/** Runs workers until `stop` is aborted, and ends them gently; rejects when one fails. */
export async function runWorkers(workers: readonly Worker[], stop: AbortSignal, started: Started): Promise<void> {
  const shutdown = (): void => {
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  stop.addEventListener('abort', shutdown, { once: true });
  const runs = workers.map((worker) => worker.run());
  started(() => workers.every((worker) => worker.getState() === 'RUNNING'));
  if (stop.aborted) shutdown();
  try {
    await Promise.all(runs);
  } catch (error) {
    shutdown();
    await Promise.allSettled(runs);
    throw error;
  } finally {
    stop.removeEventListener('abort', shutdown);
  }
}
