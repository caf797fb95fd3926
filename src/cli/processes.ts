import { hostname } from 'node:os';
import { createApi } from '../api/server.ts';
import { connectTemporal } from '../client/connect.ts';
import { startOperation } from '../client/operations.ts';
import { operationStatus } from '../client/progress.ts';
import type { Config } from '../config.ts';
import { nodesWithout } from '../domain/cluster.ts';
import { HomarusError } from '../domain/errors.ts';
import { presentRoot } from '../storage/roots.ts';
import { log } from '../telemetry.ts';
import { temporalTarget } from '../temporalTarget.ts';
import { Repositories, storageNamed } from '../workers/settings.ts';

/** What `homarus node`, `coordinator`, `api` and `run` do: serve until they are told to stop. */
export interface Parts {
  /** Ids of the nodes that this machine is. */
  nodes: readonly string[];
  coordinator: boolean;
  api: boolean;
}

/** Runs parts of the cluster in this process. Answers when SIGINT or SIGTERM came and all has ended gently. */
export async function runParts(config: Config, parts: Parts): Promise<void> {
  const stopping = stopSignal();
  const repositories = new Repositories(config);
  try {
    await repositories.checkKeys();
    await runWith(repositories, config, parts, stopping);
  } finally {
    await repositories.close();
  }
}

async function runWith(repositories: Repositories, config: Config, parts: Parts, stopping: AbortSignal): Promise<void> {
  const target = temporalTarget(config);
  const running: Promise<void>[] = [];
  const failed = new AbortController();
  const stop = AbortSignal.any([stopping, failed.signal]);
  const start = (part: Promise<void>): void => {
    // One part that fails ends the others: a process that lives does all that it was asked to do.
    part.catch(() => failed.abort());
    running.push(part);
  };
  if (parts.coordinator) {
    const { runCoordinator } = await import('../workers/coordinator.ts');
    start(runCoordinator(config, target, repositories, stop));
  }
  if (parts.nodes.length > 0) {
    const { runNode } = await import('../workers/node.ts');
    for (const node of parts.nodes) start(runNode(config, target, repositories, node, stop));
  }
  if (parts.api) start(serveApi(config, repositories, stop));
  await Promise.allSettled(running);
  // An open channel to the parent would keep this process alive.
  if (process.connected) process.disconnect();
  await Promise.all(running);
}

async function serveApi(config: Config, repositories: Repositories, stop: AbortSignal): Promise<void> {
  const target = temporalTarget(config);
  const { client, connection } = await connectTemporal(target);
  const app = createApi({
    cluster: config.cluster,
    async listBackups(storage) {
      const repository = await repositories.open(storageNamed(config, storage).name, { anyCluster: true });
      const { root } = await presentRoot(repository);
      return root.backups.toReversed();
    },
    async startBackup(request, key) {
      nodesWithout(config.nodes, request.withoutNodes);
      const id = key === undefined ? [] : [`backup-${config.cluster}-${key}`];
      return (await answeredIn(startOperation(client, config.cluster, 'backup', request, ...id))).workflowId;
    },
    operation: (id) => answeredIn(operationStatus(client, id)),
    async checkTemporal() {
      await answeredIn(connection.workflowService.getSystemInfo({}));
    },
  });
  const { host, port } = config.api;
  await app.listen({ host, port });
  log('info', 'facade started', { host, port });
  await new Promise<void>((resolve) => {
    if (stop.aborted) resolve();
    else stop.addEventListener('abort', () => resolve(), { once: true });
  });
  await app.close();
  await repositories.close();
  await connection.close();
}

/** Nobody waits longer for Temporal, ms. */
const PATIENCE = 5_000;

async function answeredIn<T>(asked: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new HomarusError('TemporalUnreachable', `Temporal did not answer within ${PATIENCE / 1000} s`)),
      PATIENCE,
    );
  });
  try {
    return await Promise.race([asked, late]);
  } catch (error) {
    if (isGrpcUnavailable(error)) {
      throw new HomarusError('TemporalUnreachable', `Temporal does not answer (asked from ${hostname()})`, {
        cause: error,
      });
    }
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function isGrpcUnavailable(error: unknown): boolean {
  const { code, cause } = error as { code?: unknown; cause?: { code?: unknown } };
  return [code, cause?.code].some((one) => one === 14 || one === 4);
}

/** Aborted by SIGINT or SIGTERM, and when a parent that holds a channel to this process is gone. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  if (process.channel) process.once('disconnect', stop);
  return controller.signal;
}
