import type { Committed } from '../../src/activities/control.ts';
import { padded } from '../../src/domain/documents.ts';
import { hasCode } from '../../src/domain/errors.ts';
import type { AttemptId, NodeGrant, SnapshotReceipt, UploadReceipt } from '../../src/domain/operations.ts';
import type { CleanupRequest } from '../../src/domain/requests.ts';
import { rotateDataKey } from '../../src/storage/keyChanges.ts';
import { repair } from '../../src/storage/repair.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import type { Generation } from './generations.ts';
import type { History, Processes, SmallCluster } from './smallCluster.ts';
import { TTL } from './smallCluster.ts';

/**
 * The order of things of `src/workflows`, step by step and without Temporal. A step that ended is not run again; one
 * that failed for what passes, or in which the processes were stopped, is.
 */

/** The same when a step is done again. */
const nonceOf = ({ run }: AttemptId, what: string): string => `${run.replaceAll('/', '-')}-${what}`;

export type Operation = (cluster: SmallCluster, processes: Processes, history: History) => Promise<void>;

type Step = <T>(name: string, work: () => Promise<T> | T) => Promise<T>;

/** Tries of a step, as many as a lost answer and its repetition need. */
const TRIES = 3;

function stepsOf(history: History): Step {
  return async (name, work) => {
    for (let tries = 1; !history.has(name); tries++) {
      try {
        history.set(name, await work());
      } catch (error) {
        if (tries === TRIES || !hasCode(activityError(error), 'StoreUnreachable', 'CommitInDoubt')) throw error;
      }
    }
    return history.get(name) as never;
  };
}

/** As `toFailure` names it. */
const activityError = (error: unknown): unknown => {
  const { type } = error as { type?: string };
  return type === undefined ? error : { code: type };
};

interface Held {
  attempt: AttemptId;
  grant: Awaited<ReturnType<Processes['coordinator']['acquireStorage']>>['grant'];
  nodes: Map<string, NodeGrant>;
}

async function locked(
  kind: AttemptId['kind'],
  nodes: readonly string[],
  [cluster, processes, history]: Parameters<Operation>,
  work: (held: Held, step: Step) => Promise<Committed | null>,
): Promise<void> {
  const step = stepsOf(history);
  const attempt = await step('attempt', () => cluster.newAttempt(kind));
  const { coordinator } = processes;
  const { grant } = await step('lock', () =>
    coordinator.acquireStorage({ attempt, storage: undefined, nonce: nonceOf(attempt, 'lock') }),
  );
  const grants = new Map<string, NodeGrant>();
  for (const id of nodes) {
    grants.set(
      id,
      await step(`lock ${id}`, () => processes.nodes.get(id)!.control.acquireNode({ attempt, ttl: TTL, plugin: null })),
    );
  }
  const committed = await work({ attempt, grant, nodes: grants }, step);
  for (const id of nodes) {
    await step(`release ${id}`, () => processes.nodes.get(id)!.control.releaseNode({ attempt, committed }));
  }
  if (committed) return;
  await step('release', () =>
    coordinator.releaseStorage({ attempt, storage: undefined, epoch: grant.epoch, nonce: nonceOf(attempt, 'release') }),
  );
}

export const backup =
  (label: Generation): Operation =>
  (...all) => {
    const [cluster, { coordinator, nodes }] = all;
    const ids = cluster.nodes.map(({ id }) => id);
    return locked('backup', ids, all, async ({ attempt, grant, nodes: grants }, step) => {
      const started = await step('started', () => new Date(cluster.now()).toISOString());
      const snapshots: SnapshotReceipt[] = [];
      for (const id of ids) {
        const input = { grant: grants.get(id)!, storage: grant };
        snapshots.push(await step(`snapshot ${id}`, () => nodes.get(id)!.work.snapshotNode(input)));
      }
      const plan = await step('plan', () => coordinator.planBackup({ grant, snapshots }));
      const uploads: UploadReceipt[] = [];
      for (const { node, list } of plan.wanted) {
        const input = { grant: grants.get(node)!, storage: grant, wanted: list };
        uploads.push(await step(`upload ${node}`, () => nodes.get(node)!.work.uploadNode(input)));
      }
      const commit = {
        grant,
        id: `${padded(grant.epoch)}-${Buffer.from(attempt.run).toString('hex').padStart(16, '0').slice(-16)}`,
        nonce: nonceOf(attempt, 'commit'),
        label,
        attempt: 1,
        started,
        snapshots,
        uploads,
        missing: [],
        streams: [],
        requires: [],
        orphans: plan.orphans,
        plugin: { name: 'files', version: 1, data: null },
      };
      const { id, repository } = await step('commit', () => coordinator.commitBackup(commit));
      return { backup: id, repository };
    });
  };

/** Restores the latest backup to all nodes. */
export const restore: Operation = (...all) => {
  const [cluster, { coordinator, nodes }, history] = all;
  const ids = cluster.nodes.map(({ id }) => id);
  return stepsOf(history)('plan', () => coordinator.planRestore({ request: { backup: 'latest' } })).then((plan) =>
    locked('restore', ids, all, async ({ grant, nodes: grants }, step) => {
      for (const { from, to } of plan.pairs) {
        const input = {
          grant: grants.get(to)!,
          storage: grant,
          storageName: 'main',
          repository: plan.repository,
          backup: plan.backup,
          from,
        };
        const how = { paths: [], to: null, verifyExisting: false };
        await step(`restore ${to}`, () => nodes.get(to)!.work.restoreNode({ ...input, ...how }));
      }
      return null;
    }),
  );
};

export const cleanup =
  (request: CleanupRequest): Operation =>
  (...all) =>
    locked('cleanup', [], all, async ({ attempt, grant }, step) => {
      await step('cleanup', () => all[1].coordinator.cleanUp({ grant, nonce: nonceOf(attempt, 'commit'), request }));
      return null;
    });

/** What "homarus key add", "remove" and "rotate" do. */
export const changeKeys =
  (change: (repository: Repository) => Promise<unknown>): Operation =>
  async (_, { repository }, history) => {
    await stepsOf(history)('keys', async () => {
      await presentRoot(repository);
      return change(repository);
    });
  };

/** What "homarus key rotate --reencrypt" does. */
export const reencrypt: Operation = async (cluster, processes, history) => {
  const { repository } = processes;
  await stepsOf(history)('rotate', async () => {
    const { root } = await presentRoot(repository);
    if (root.keys?.rewriteBelow === undefined) await rotateDataKey(repository, { by: 'test', reencrypt: true });
  });
  await cleanup({ backups: [] })(cluster, processes, history);
};

/** What "homarus repair" does, once all have been silent for long enough; who sees it fail runs it again. */
export const mend: Operation = async (_, { repository, directory }, history) => {
  await stepsOf(history)('repair', () => repair(repository, { directory, ttl: 0, dryRun: false }));
};
