import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { createCoordinatorActivities } from '../activities/coordinator.ts';
import type { TemporalTarget } from '../client/connect.ts';
import type { Config } from '../config.ts';
import { coordinatorQueue } from '../domain/cluster.ts';
import { processDirectory } from '../node/identity.ts';
import { log } from '../telemetry.ts';
import { workflowSource } from './bundle.ts';
import type { Repositories } from './settings.ts';
import { clusterSettings, seenByCoordinator } from './settings.ts';
import { runWorkers, serve } from './temporal.ts';

/** A coordinator: workflows, and everything that sees the whole cluster. Any number may run, on any machine. */
export async function runCoordinator(
  config: Config,
  target: TemporalTarget,
  repositories: Repositories,
  stop: AbortSignal,
): Promise<void> {
  const directory = processDirectory(join(config.dataDir, 'work'));
  const serving = await serve({ target, role: `coordinator/${config.cluster}`, lock: config.lock, directory });
  try {
    const worker = await serving.worker({
      taskQueue: coordinatorQueue(config.cluster),
      ...workflowSource(),
      activities: createCoordinatorActivities({
        settings: (storage) => clusterSettings(config, storage),
        retention: config.retention,
        repository: (storage, options) => repositories.open(storage, options),
        liveness: serving.liveness,
        seen: seenByCoordinator(config),
        directory,
        log,
      }),
      maxConcurrentActivityTaskExecutions: 50,
      // A killed coordinator's runs go on elsewhere after this time.
      stickyQueueScheduleToStartTimeout: '2s',
    });
    log('info', 'coordinator started', { cluster: config.cluster });
    await runWorkers([worker], stop);
  } finally {
    await serving.close();
    rmSync(directory, { recursive: true, force: true });
  }
}
