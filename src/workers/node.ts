import { hostname } from 'node:os';
import { createControlActivities } from '../activities/control.ts';
import { TokenJournal } from '../activities/journal.ts';
import { createNodeActivities } from '../activities/node.ts';
import { NodePlugin } from '../activities/plugin.ts';
import type { TemporalTarget } from '../client/connect.ts';
import type { Config } from '../config.ts';
import { nodeControlQueue, nodeQueue } from '../domain/cluster.ts';
import { claimStateDir, incarnationOf } from '../node/identity.ts';
import { expectJob } from '../node/job.ts';
import { NodeLease } from '../node/lease.ts';
import { loadPlugin } from '../plugins/load.ts';
import { log } from '../telemetry.ts';
import { createNodeJobs, prepareRoots } from './nodeJobs.ts';
import { notesIn } from './notes.ts';
import { nodeRole, Rivals } from './rivals.ts';
import type { Repositories } from './settings.ts';
import { nodeNamed } from './settings.ts';
import type { Started } from './supervisor.ts';
import { runWorkers, serve } from './temporal.ts';

/** Long work of one operation at a time, and room for the next one that stops it. */
const WORK_SLOTS = 4;
const CONTROL_SLOTS = 8;

/** The worker of one node: its long work on one queue, its part of the lock on another, so that a busy node answers. */
export async function runNode(
  config: Config,
  target: TemporalTarget,
  repositories: Repositories,
  id: string,
  stop: AbortSignal,
  started: Started,
): Promise<void> {
  const node = nodeNamed(config, id);
  const loaded = await loadPlugin(config.plugin);
  const giveUp = claimStateDir(node.stateDir, id);
  try {
    const lease = new NodeLease(node.stateDir, id, {
      onLost: ({ message }) => log('warn', `work on this node was stopped: ${message}`),
    });
    prepareRoots(node, lease.holder?.operation);
    const host = hostname();
    const incarnation = incarnationOf(
      node.stateDir,
      node.roots.map((root) => root.linkDir),
    );
    const journal = new TokenJournal(node.stateDir);
    const serving = await serve({
      target,
      node: id,
      role: nodeRole(id, incarnation),
      lock: config.lock,
      directory: node.stateDir,
      journal,
    });
    const { liveness } = serving;
    const rivals = new Rivals(serving.client, config.cluster, id, incarnation);
    const jobs = createNodeJobs(config, repositories, node, loaded.selection, log);
    const plugin = new NodePlugin({
      plugin: loaded,
      cluster: config.cluster,
      node,
      notes: notesIn(node.stateDir, loaded.flow.name),
      log,
    });
    const cleanUp = async (operation: string): Promise<void> => {
      await plugin.cleanUp(operation);
      await jobs
        .endDrill()
        .catch((error: Error) => log('warn', `the scratch directory of a drill was not removed: ${error.message}`));
    };
    lease.onRanOut = ({ operation }) => void cleanUp(operation);
    try {
      await rivals.awaitNone(stop, log);
      // Of an operation that ended while this process was away; one that goes on is told by its release.
      if (lease.holder === null) await cleanUp('');
      const work = await serving.worker({
        taskQueue: nodeQueue(config.cluster, id),
        activities: createNodeActivities({ node: id, host, incarnation, lease, liveness, jobs, plugin }),
        maxConcurrentActivityTaskExecutions: WORK_SLOTS,
      });
      const control = await serving.worker({
        taskQueue: nodeControlQueue(config.cluster, id),
        activities: createControlActivities({
          node: id,
          host,
          incarnation,
          lease,
          liveness,
          refuseRivals: () => rivals.refuse(),
          refreshMs: config.lock.refresh,
          plugin: plugin.version,
          async finish(attempt, committed) {
            await cleanUp(attempt.operation);
            await jobs.finish(attempt, committed);
          },
          log,
        }),
        maxConcurrentActivityTaskExecutions: CONTROL_SLOTS,
      });
      expectJob();
      log('info', 'node started', { cluster: config.cluster, node: id, incarnation });
      await runWorkers([work, control], stop, started);
    } finally {
      lease.close();
      await serving.close();
    }
  } finally {
    giveUp();
  }
}
