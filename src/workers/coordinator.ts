import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { createCoordinatorActivities } from '../activities/coordinator.ts';
import { coordinatorPluginActivities } from '../activities/plugin.ts';
import type { TemporalTarget } from '../client/connect.ts';
import { applySchedules } from '../client/schedules.ts';
import { ensureSearchAttributes } from '../client/searchAttributes.ts';
import type { Config } from '../config.ts';
import { coordinatorQueue } from '../domain/cluster.ts';
import { processDirectory } from '../node/identity.ts';
import { runJob } from '../node/job.ts';
import { loadPlugin } from '../plugins/load.ts';
import { log } from '../telemetry.ts';
import { workflowSource } from './bundle.ts';
import type { Repositories } from './settings.ts';
import { clusterSettings, seenByCoordinator } from './settings.ts';
import type { Started } from './supervisor.ts';
import type { Serving } from './temporal.ts';
import { runWorkers, serve } from './temporal.ts';
import { watchCluster } from './watch.ts';

/** A coordinator: workflows, and everything that sees the whole cluster. Any number may run, on any machine. */
export async function runCoordinator(
  config: Config,
  target: TemporalTarget,
  repositories: Repositories,
  stop: AbortSignal,
  started: Started,
): Promise<void> {
  const directory = processDirectory(join(config.dataDir, 'work'));
  const plugin = await loadPlugin(config.plugin);
  // Before anything is opened: a flow that cannot be bundled is a fault of the configuration.
  const workflows = await workflowSource(config.plugin);
  const serving = await serve({
    target,
    role: `coordinator/${config.cluster}`,
    lock: config.lock,
    directory,
  });
  try {
    const worker = await serving.worker({
      taskQueue: coordinatorQueue(config.cluster),
      ...workflows,
      activities: {
        ...coordinatorPluginActivities({
          plugin,
          cluster: config.cluster,
          nodes: config.nodes.map(({ id, az }) => ({ id, az })),
          repository: (storage, options) => repositories.open(storage, { ...options, anyCluster: true }),
          alive: (body) => serving.liveness.run(() => ({}), body),
          directory,
          log,
        }),
        ...createCoordinatorActivities({
          settings: (storage) => clusterSettings(config, storage),
          cleanUp: async ({ grant, nonce, request }, { signal, onProgress }) =>
            runJob(
              'cleanUp',
              {
                ...(await repositories.jobArgs(grant.storage, {
                  id: grant.repository,
                  cluster: config.cluster,
                  signal,
                })),
                ...{ grant, nonce, request, directory, now: Date.now() },
                retention: config.retention,
                rewrite: config.cleanup,
              },
              { signal, onProgress, priority: config.parallelism, onWarning: (text) => log('warn', text) },
            ),
          repository: (storage, options) => repositories.open(storage, options),
          liveness: serving.liveness,
          seen: seenByCoordinator(config),
          directory,
          drillDirectory: config.drill.directory,
          notifications: config.notifications,
          log,
        }),
      },
      maxConcurrentActivityTaskExecutions: 50,
      // A killed coordinator's runs go on elsewhere after this time.
      stickyQueueScheduleToStartTimeout: '2s',
    });
    await prepareTemporal(config, target.namespace, serving);
    log('info', 'coordinator started', { cluster: config.cluster });
    await Promise.all([runWorkers([worker], stop, started), watchCluster(config, serving.client, repositories, stop)]);
  } finally {
    await serving.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** What Temporal is to know of this cluster. Without it operations run all the same, so a server that refuses it stops nobody. */
async function prepareTemporal(config: Config, namespace: string, { acks, client }: Serving): Promise<void> {
  const attempt = async (what: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      log('warn', `${what}: ${(error as Error).message}`, { cluster: config.cluster });
    }
  };
  await attempt('search attributes are not registered', () => ensureSearchAttributes(acks, namespace));
  await attempt('schedules are not applied; "homarus schedules apply" tries again', async () => {
    const changes = await applySchedules(client, config.cluster, config.schedules);
    for (const { name, change } of changes) {
      if (change !== 'unchanged') log('info', `schedule ${name} ${change}`, { cluster: config.cluster });
    }
  });
}
