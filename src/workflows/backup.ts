import { uuid4 } from '@temporalio/workflow';
import { nodesWithout } from '../domain/cluster.ts';
import { padded } from '../domain/documents.ts';
import type {
  BackupRequest,
  BackupResult,
  PlanReceipt,
  SnapshotReceipt,
  StorageGrant,
  UploadReceipt,
} from '../domain/operations.ts';
import { flows } from '../plugins/flows.ts';
import { coordinatorWork, nodeWork } from './activityProxies.ts';
import type { Locked } from './clusterLock.ts';
import { failure } from './failures.ts';
import { Operation, uncancelled } from './operation.ts';

/** Backs up the nodes of the cluster: all, unless the request lets some be missing. The backup exists when the root that names it stands: the last step. */
export async function backup(cluster: string, request: BackupRequest = {}): Promise<BackupResult> {
  const operation = new Operation('backup', cluster, request);
  let committed: { repository: string; backup: string } | undefined;
  return operation.attempts(
    (attempt) => ({
      attempt,
      storageName: request.storage,
      lockStorage: true,
      nodes: (settings) => nodesWithout(settings.nodes, request.withoutNodes),
      allowMissing: (settings) => request.allowMissing ?? settings.allowMissing,
      committed: () => committed,
    }),
    async (locked) => {
      const result = await attemptBackup(operation, locked, request);
      committed = { repository: result.repository, backup: result.id };
      return result.receipt;
    },
  );
}

async function attemptBackup(operation: Operation, locked: Locked, request: BackupRequest) {
  const { settings } = locked;
  const storage = locked.storage as StorageGrant;
  const flow = flows[settings.plugin];
  if (flow === undefined) throw failure('ConfigInvalid', `there is no plugin "${settings.plugin}"`);
  const grants = new Map(locked.nodes.map((grant) => [grant.node, grant]));
  const missing = settings.nodes.map(({ id }) => id).filter((id) => !grants.has(id));
  operation.goesWithout(missing);
  const onNode = (node: string) => nodeWork(settings.cluster, node, settings.lock);
  const started = new Date().toISOString();
  let snapshots: SnapshotReceipt[] = [];
  const planned: PlanReceipt[] = [];
  let uploads: UploadReceipt[] = [];

  const data = await flow.backup({
    async snapshot() {
      snapshots = await operation.eachNode('snapshot', [...grants.keys()], (node) =>
        onNode(node).snapshotNode({ grant: grants.get(node)!, storage }),
      );
    },
    async upload() {
      operation.enter('plan');
      const plan = await coordinatorWork(settings.lock).planBackup({ grant: storage, snapshots });
      planned.push(plan);
      const lists = new Map(plan.wanted.map(({ node, list }) => [node, list]));
      uploads = await operation.eachNode('upload', [...lists.keys()], (node) =>
        onNode(node).uploadNode({ grant: grants.get(node)!, storage, wanted: lists.get(node)! }),
      );
    },
  });
  const [plan] = planned;
  if (plan === undefined) throw failure('Internal', `plugin ${settings.plugin} ended without an upload`);

  operation.enter('commit');
  const commit = {
    grant: storage,
    id: `${padded(storage.epoch)}-${uuid4().replaceAll('-', '').slice(0, 16)}`,
    nonce: uuid4(),
    label: request.label ?? '',
    attempt: operation.attempt,
    started,
    snapshots,
    missing,
    uploads,
    orphans: plan.orphans,
    plugin: { name: settings.plugin, version: flow.version, data: data ?? null },
  };
  // A commit that was sent is awaited: only its answer says whether the backup exists.
  return uncancelled(() => coordinatorWork(settings.lock).commitBackup(commit));
}
