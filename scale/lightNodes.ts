import { hostname } from 'node:os';
import { createControlActivities } from '../src/activities/control.ts';
import type { NodeJobs } from '../src/activities/node.ts';
import { createNodeActivities } from '../src/activities/node.ts';
import { NodePlugin } from '../src/activities/plugin.ts';
import { loadConfig } from '../src/config.ts';
import { nodeControlQueue, nodeQueue } from '../src/domain/cluster.ts';
import { finish } from '../src/node/finish.ts';
import { incarnationOf } from '../src/node/identity.ts';
import { NodeLease } from '../src/node/lease.ts';
import { snapshot } from '../src/node/snapshot.ts';
import { upload } from '../src/node/uploader.ts';
import { workDirectory } from '../src/node/workDirectory.ts';
import { loadPlugin } from '../src/plugins/load.ts';
import { temporalTarget } from '../src/temporalTarget.ts';
import { prepareRoots } from '../src/workers/nodeJobs.ts';
import { notesIn } from '../src/workers/notes.ts';
import { nodeNamed, Repositories } from '../src/workers/settings.ts';
import { runWorkers, serve } from '../src/workers/temporal.ts';
import { ownThreadContext } from '../test/support/ownThread.ts';
import { held } from './hold.ts';

/**
 * Many nodes in one process: `lightNodes.ts CONFIG NODE...`. Leases, activities, heartbeats and task queues are those of
 * real nodes; what is spared is a process and threads for each, and the question for rivals.
 */

const [file = '', ...ids] = process.argv.slice(2);
const config = await loadConfig(file);
const repositories = new Repositories(config);
const stopping = new AbortController();
process.once('disconnect', () => stopping.abort());
const serving = await serve({
  target: temporalTarget(config),
  role: `nodes/${ids[0]}`,
  lock: config.lock,
  directory: nodeNamed(config, ids[0]!).stateDir,
});
const plugin = await loadPlugin(config.plugin);
try {
  const workers = await Promise.all(ids.map(workersOf));
  process.send?.('ready');
  await runWorkers(workers.flat(), stopping.signal, () => undefined);
} finally {
  await serving.close();
  await repositories.close();
}

/** What no backup asks for. */
async function notHere(): Promise<never> {
  throw new Error('light nodes are only backed up');
}

async function workersOf(id: string) {
  const node = nodeNamed(config, id);
  const lease = new NodeLease(node.stateDir, id);
  prepareRoots(node, lease.holder?.operation);
  const incarnation = incarnationOf(
    node.stateDir,
    node.roots.map(({ linkDir }) => linkDir),
  );
  const { cluster } = config;
  const deps = { node: id, host: hostname(), incarnation, lease, liveness: serving.liveness };
  const notes = notesIn(node.stateDir, plugin.flow.name);
  const nodePlugin = new NodePlugin({ plugin, cluster, node, notes, log: () => undefined });
  const open = (storage: string) => repositories.open(storage);
  const jobs: NodeJobs = {
    async snapshot({ storage }, { signal }) {
      const { attempt, epoch, root } = storage;
      const asked = {
        operation: attempt.operation,
        epoch,
        root,
        node,
        host: hostname(),
        onUnreadable: 'fail',
      } as const;
      const select = { include: [], exclude: [] };
      return snapshot(await open(storage.storage), { ...asked, select }, ownThreadContext(signal));
    },
    async upload({ storage, wanted }, { signal }) {
      await held(file, signal);
      const attempt = { operation: storage.attempt.operation, epoch: storage.epoch };
      const work = workDirectory(node.stateDir, attempt);
      const asked = { ...attempt, node: id, stateDir: node.stateDir, wanted, workDirectory: work };
      return upload(await open(storage.storage), asked, ownThreadContext(signal));
    },
    estimate: notHere,
    restore: notHere,
    preview: notHere,
    verifyPacks: notHere,
    drill: notHere,
    endDrill: notHere,
  };
  return Promise.all([
    serving.worker({
      taskQueue: nodeQueue(cluster, id),
      activities: createNodeActivities({ ...deps, jobs, plugin: nodePlugin }),
    }),
    serving.worker({
      taskQueue: nodeControlQueue(cluster, id),
      activities: createControlActivities({
        ...deps,
        refreshMs: config.lock.refresh,
        plugin: nodePlugin.version,
        refuseRivals: async () => undefined,
        finish: async ({ operation }, committed) => finish({ node, operation, committed }),
        log: () => undefined,
      }),
    }),
  ]);
}
