import { log } from '@temporalio/workflow';
import { nodesWithout } from '../domain/cluster.ts';
import { padded } from '../domain/documents.ts';
import type { PlanReceipt, SnapshotReceipt, StorageGrant, StreamReceipt, UploadReceipt } from '../domain/operations.ts';
import type { BackupRequest } from '../domain/requests.ts';
import type { BackupResult, Skipped } from '../domain/results.ts';
import { filesOf, formatBytes } from '../domain/text.ts';
import { flowNamed } from '../plugins/flows.ts';
import type { BackupSteps } from '../plugins/plugin.ts';
import { coordinatorWork, nodeWork } from './activityProxies.ts';
import type { Locked } from './clusterLock.ts';
import { failure, messageOf, unwrap } from './failures.ts';
import { Operation, uncancelled } from './operation.ts';
import { pluginCalls, runFlow, stepsOf, versionOf } from './pluginCalls.ts';

/** Ids of a backup that exists and of its repository, and what the operation answers. */
interface Committed {
  repository: string;
  id: string;
  receipt: BackupResult;
}

/** Backs up the nodes of the cluster: all, unless the request lets some be missing. The backup exists when the root that names it stands. */
export async function backup(cluster: string, request: BackupRequest = {}): Promise<BackupResult | Skipped> {
  const operation = new Operation('backup', cluster, request);
  let committed: Committed | undefined;
  return operation.ends(() =>
    operation.attempts(
      (attempt) => ({
        attempt,
        storageName: request.storage,
        lockStorage: true,
        nodes: (settings) => nodesWithout(settings.nodes, request.withoutNodes),
        allowMissing: (settings) => request.allowMissing ?? settings.allowMissing,
        plugin: (settings) => versionOf(flowNamed(settings.plugin)),
        committed: () => committed && { repository: committed.repository, backup: committed.id },
      }),
      async (locked) => {
        try {
          await attemptBackup(operation, locked, request, (done) => {
            committed = done;
            operation.names(done.receipt.backup);
          });
        } catch (error) {
          // The backup exists, so the operation did what it was asked for.
          if (committed === undefined) throw error;
          log.warn(
            `backup ${committed.receipt.backup} exists; what came after its commit failed: ${messageOf(unwrap(error))}`,
          );
        }
        if (committed !== undefined) return committed.receipt;
        throw failure('PluginFailed', `plugin ${locked.settings.plugin} ended without a commit`);
      },
    ),
  );
}

async function attemptBackup(
  operation: Operation,
  locked: Locked,
  request: BackupRequest,
  onCommitted: (committed: Committed) => void,
): Promise<void> {
  const { settings } = locked;
  const storage = locked.storage as StorageGrant;
  const flow = flowNamed(settings.plugin);
  const grants = new Map(locked.nodes.map((grant) => [grant.node, grant]));
  const missing = settings.nodes.map(({ id }) => id).filter((id) => !grants.has(id));
  operation.goesWithout(missing);
  const onNode = (node: string, todo?: string) => nodeWork(settings.cluster, node, settings.lock, todo);
  const started = new Date().toISOString();
  const streams: StreamReceipt[] = [];
  let snapshots: SnapshotReceipt[] | undefined;
  let plan: PlanReceipt | undefined;
  let uploads: UploadReceipt[] | undefined;
  const done = <T>(what: T | undefined, step: string): T => {
    if (what === undefined) throw failure('PluginFailed', `plugin ${flow.name} comes to its next step without ${step}`);
    return what;
  };

  const steps: BackupSteps<unknown> = {
    ...stepsOf(flow, locked, missing),
    async snapshot() {
      snapshots = await operation.eachNode(
        'snapshot',
        [...grants.keys()],
        (node) => onNode(node).snapshotNode({ grant: grants.get(node)!, storage }),
        {
          did: ({ totals, hashedBytes }) => ({
            text: `${filesOf(totals)}, ${formatBytes(hashedBytes)} of them read`,
            bytes: hashedBytes,
          }),
        },
      );
    },
    async plan() {
      operation.enter('plan');
      const input = { grant: storage, snapshots: done(snapshots, 'a snapshot') };
      plan = await coordinatorWork(settings.lock).planBackup(input);
    },
    async upload() {
      const shares = new Map(done(plan, 'a plan').wanted.map((share) => [share.node, share]));
      uploads = await operation.eachNode(
        'upload',
        [...shares.keys()],
        (node, todo) =>
          onNode(node, todo).uploadNode({ grant: grants.get(node)!, storage, wanted: shares.get(node)!.list }),
        {
          todo: (node) => `${formatBytes(shares.get(node)!.bytes)} to store`,
          did: ({ bytes, stored }) => ({ text: `${formatBytes(bytes)} stored as ${formatBytes(stored)}`, bytes }),
        },
      );
    },
    async commit({ data, requires = [] }) {
      const commit = {
        grant: storage,
        ...idOfCommit(storage),
        label: request.label ?? '',
        attempt: operation.attempt,
        started,
        snapshots: done(snapshots, 'a snapshot'),
        missing,
        uploads: done(uploads, 'an upload'),
        streams,
        orphans: done(plan, 'a plan').orphans,
        plugin: { name: flow.name, version: flow.version, data: data ?? null },
        requires,
      };
      operation.enter('commit');
      // A commit that was sent is awaited: only its answer says whether the backup exists.
      onCommitted(await uncancelled(() => coordinatorWork(settings.lock).commitBackup(commit)));
    },
  };
  const run = pluginCalls(flow, {
    operation,
    locked,
    work: {
      operation: locked.attempt.operation,
      storage: storage.storage,
      repository: storage.repository,
      grant: storage,
    },
    onStreams: (stored) => streams.push(...stored),
  });
  await runFlow(flow, run, () => flow.backup(steps, run));
}

/**
 * The same for all commits under one grant: after a reset the operation finds what it had committed before. The random part
 * is that of the run's id.
 */
function idOfCommit({ epoch, attempt }: StorageGrant): { id: string; nonce: string } {
  const [run = ''] = attempt.run.split('/');
  const id = `${padded(epoch)}-${run.replaceAll('-', '').slice(-16)}`;
  return { id, nonce: `commit-${id}` };
}
