import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type {
  AttemptId,
  SnapshotReceipt,
  StorageGrant,
  StreamReceipt,
  UploadReceipt,
} from '../../src/domain/operations.ts';
import type { CleanupRequest } from '../../src/domain/requests.ts';
import type { BackupResult } from '../../src/domain/results.ts';
import { finish } from '../../src/node/finish.ts';
import type { JobContext } from '../../src/node/job.ts';
import { restoreNode } from '../../src/node/restoreNode.ts';
import type { RestoreCounts } from '../../src/node/restorer.ts';
import type { NodeSettings } from '../../src/node/settings.ts';
import type { SnapshotInput } from '../../src/node/snapshot.ts';
import { snapshot } from '../../src/node/snapshot.ts';
import { upload } from '../../src/node/uploader.ts';
import { workDirectory } from '../../src/node/workDirectory.ts';
import { cleanUp } from '../../src/storage/cleanUp.ts';
import { commitBackup } from '../../src/storage/commitBackup.ts';
import { acquireLock, releaseLock } from '../../src/storage/lock.ts';
import { planBackup } from '../../src/storage/planBackup.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { writeStream } from '../../src/storage/streams.ts';

/** A node whose roots and state are below `base`, with one root named `data`. */
export function givenNode(base: string, id = 'n1'): NodeSettings {
  const path = join(base, id);
  mkdirSync(path, { recursive: true });
  return {
    id,
    az: '',
    roots: [{ name: 'data', path, linkDir: join(path, '.homarus') }],
    stateDir: join(base, 'state', id),
  };
}

let operations = 0;

export interface BackUpOptions {
  nodes: NodeSettings[];
  /** What the nodes open; `repository` unless it is given. */
  asNode?: Repository;
  snapshot?: Partial<SnapshotInput>;
  /** ISO 8601; now without. */
  started?: string;
  /** Ids of nodes that the backup is without. */
  missing?: string[];
  /** What a plugin stores beside the files, by name. */
  streams?: Record<string, Buffer>;
  /** Between the steps. */
  beforeUpload?: () => void | Promise<void>;
  beforeCommit?: () => void | Promise<void>;
}

export interface BackedUp {
  receipt: BackupResult;
  snapshots: SnapshotReceipt[];
  uploads: UploadReceipt[];
  grant: StorageGrant;
}

/** The storage's part of the lock, for the first attempt of an operation. */
async function locked(
  repository: Repository,
  operation: string,
  kind: AttemptId['kind'],
  since: string,
): Promise<StorageGrant> {
  const attempt: AttemptId = { operation, run: `${operation}/1`, kind, by: 'test', since };
  const { at, epoch } = await acquireLock(repository, { ...attempt, ttl: 60_000 }, { nonce: `${operation}-lock` });
  const { id } = repository.parameters;
  return { attempt, storage: 'main', repository: id, epoch, root: at.root.number, ttl: 60_000 };
}

/** A whole backup as the workflow does it, in this process and without Temporal. */
export async function backUp(repository: Repository, context: JobContext, options: BackUpOptions): Promise<BackedUp> {
  const { nodes, asNode = repository } = options;
  const operation = `backup-${++operations}`;
  const started = options.started ?? new Date().toISOString();
  const grant = await locked(repository, operation, 'backup', started);
  const { epoch, root } = grant;
  const directory = join(nodes[0]!.stateDir, 'coordinator');
  mkdirSync(directory, { recursive: true });
  let committed: { backup: string; repository: string } | null = null;
  try {
    const snapshots: SnapshotReceipt[] = [];
    for (const node of nodes) {
      const input = { operation, epoch, node, host: 'test', root };
      const select = { include: [], exclude: [] };
      snapshots.push(await snapshot(asNode, { ...input, select, onUnreadable: 'fail', ...options.snapshot }, context));
    }
    await options.beforeUpload?.();
    const streams: StreamReceipt[] = [];
    for (const [name, content] of Object.entries(options.streams ?? {})) {
      const input = { grant, name, cuts: 'fixed' } as const;
      streams.push(await writeStream(repository, input, Readable.from([content]), { directory }));
    }
    const plan = await planBackup(repository, { grant, snapshots }, { directory });
    const uploads: UploadReceipt[] = [];
    for (const { node: id, list } of plan.wanted) {
      const node = nodes.find((one) => one.id === id)!;
      const work = workDirectory(node.stateDir, { operation, epoch });
      uploads.push(
        await upload(
          asNode,
          { node: id, operation, epoch, wanted: list, stateDir: node.stateDir, workDirectory: work },
          context,
        ),
      );
    }
    await options.beforeCommit?.();
    const commit = {
      grant,
      id: `${String(epoch).padStart(16, '0')}-${String(operations).padStart(16, '0')}`,
      nonce: `${operation}-commit`,
      label: '',
      attempt: 1,
      started,
      snapshots,
      missing: options.missing ?? [],
      uploads,
      streams,
      requires: [],
      orphans: plan.orphans,
      plugin: { name: 'files', version: 1, data: null },
    };
    const { receipt, id, repository: repositoryId } = await commitBackup(repository, commit, { directory });
    committed = { backup: id, repository: repositoryId };
    return { receipt, snapshots, uploads, grant };
  } finally {
    for (const node of nodes) finish({ node, operation, committed });
    if (!committed) await releaseLock(repository, epoch, `${operation}-release`);
  }
}

/** Restores a backup of `from` into the roots of `node`. */
export function restoreTo(
  repository: Repository,
  context: JobContext,
  backup: string,
  node: NodeSettings,
  from = node.id,
  globs: { include?: string[]; exclude?: string[] } = {},
): Promise<RestoreCounts> {
  const input = {
    ...globs,
    operation: `restore-${++operations}`,
    node,
    backup,
    from,
    paths: [],
    to: null,
    verifyExisting: false,
  };
  return restoreNode(repository, input, context);
}

/** Deletes a backup, and what no other needs. */
export const remove = (repository: Repository, backup: string, directory: string): Promise<void> =>
  cleanUpWith(repository, directory, { backups: [backup] });

/** A cleanup that keeps all backups. */
export const cleanUpAll = (repository: Repository, directory: string): Promise<void> =>
  cleanUpWith(repository, directory, {});

async function cleanUpWith(repository: Repository, directory: string, request: CleanupRequest): Promise<void> {
  const operation = `cleanup-${++operations}`;
  const grant = await locked(repository, operation, 'cleanup', new Date().toISOString());
  const input = { grant, nonce: `${operation}-commit`, request };
  try {
    const rewrite = { maxUnused: 0.05, maxRepackBytes: null };
    await cleanUp(repository, input, { retention: {}, rewrite, directory, now: Date.now() });
  } catch (error) {
    await releaseLock(repository, grant.epoch, `${operation}-release`);
    throw error;
  }
}
