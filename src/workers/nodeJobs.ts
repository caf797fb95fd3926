import { rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Committed } from '../activities/control.ts';
import type { JobRun } from '../activities/liveness.ts';
import type { NodeJobs, RestoreWork } from '../activities/node.ts';
import type { Config, NodeConfig } from '../config.ts';
import type { BackupEntry } from '../domain/documents.ts';
import type { AttemptId, StorageGrant } from '../domain/operations.ts';
import { countBytes } from '../metrics.ts';
import { dropScratch } from '../node/drill.ts';
import { runJob } from '../node/job.ts';
import { LinkDirectory } from '../node/linkDirectory.ts';
import type { OperationRef } from '../node/settings.ts';
import { PREVIEWS, workDirectory } from '../node/workDirectory.ts';
import type { FileSelection } from '../plugins/fileOptions.ts';
import type { Log } from '../telemetry.ts';
import { withFields } from '../telemetry.ts';
import type { Repositories } from './settings.ts';

export interface RunningJobs extends NodeJobs {
  finish(attempt: AttemptId, committed: Committed | null): Promise<void>;
}

/** A node's jobs, each in a thread of its own, from what the configuration and its plugin say. */
export function createNodeJobs(
  config: Config,
  repositories: Repositories,
  node: NodeConfig,
  selection: FileSelection,
  log: Log,
): RunningJobs {
  const { include, exclude, onUnreadable, below = '' } = selection;
  const source = { ...node, roots: node.roots.map((root) => ({ ...root, path: join(root.path, below) })) };
  const repository = (storage: string, id: string, cluster: string | undefined, { signal }: JobRun) =>
    repositories.jobArgs(storage, { id, cluster, signal });
  const { nice, ionice } = config.parallelism;
  const priority = { nice, ionice };
  const attemptOf = ({ attempt, epoch }: StorageGrant): OperationRef => ({ operation: attempt.operation, epoch });
  const watched = ({ signal, stop, onProgress }: JobRun) => ({
    signal,
    stop,
    onProgress,
    priority,
    onWarning: (text: string) => log('warn', text),
  });

  const restoreArgs = async (work: RestoreWork, run: JobRun) => {
    const { storageName, repository: id, backup, ...rest } = work;
    // A backup of another cluster may be restored, too.
    return {
      ...(await repository(storageName, id, undefined, run)),
      ...rest,
      node,
      backup: backup.name,
      exclude,
      include,
    };
  };

  const jobs: RunningJobs = {
    snapshot: async ({ storage }, run) =>
      runJob(
        'snapshot',
        {
          ...(await repository(storage.storage, storage.repository, config.cluster, run)),
          ...attemptOf(storage),
          root: storage.root,
          node: source,
          host: hostname(),
          select: { include, exclude },
          onUnreadable,
        },
        watched(run),
      ),

    estimate: async ({ operation, storageName, repository: id }, run) =>
      runJob(
        'estimate',
        {
          ...(await repository(storageName, id, config.cluster, run)),
          ...{ operation, node: source, select: { include, exclude }, onUnreadable },
        },
        watched(run),
      ),

    upload: async ({ storage, wanted }, run) => {
      const attempt = attemptOf(storage);
      return runJob(
        'upload',
        {
          ...(await repository(storage.storage, storage.repository, config.cluster, run)),
          ...attempt,
          node: node.id,
          wanted,
          stateDir: node.stateDir,
          workDirectory: workDirectory(node.stateDir, attempt),
          bytesPerSecond: config.parallelism.uploadBytesPerSecond,
        },
        watched(run),
      );
    },

    restore: async (work, run) =>
      about(work, async () => runJob('restore', await restoreArgs(work, run), watched(run))),

    preview: async (work, run) =>
      about(work, async () => runJob('preview', await restoreArgs(work, run), watched(run))),

    verifyPacks: async ({ storageName, repository: id, ...input }, run) =>
      runJob('verifyPacks', { ...(await repository(storageName, id, config.cluster, run)), ...input }, watched(run)),

    drill: async (work, run) => {
      const { storageName, repository: id, backup, ...rest } = work;
      const args = await repository(storageName, id, config.cluster, run);
      return about(work, () => runJob('drill', { ...args, ...rest, node, backup: backup.name }, watched(run)));
    },

    endDrill: () => dropScratch(node.stateDir),

    finish: ({ operation }, committed) =>
      runJob('finish', { node, operation, committed }, { signal: new AbortController().signal, priority }),
  };
  return {
    ...jobs,
    snapshot: (work, run) => counting('read', node.id, jobs.snapshot(work, run), ({ hashedBytes }) => hashedBytes),
    upload: (work, run) => counting('stored', node.id, jobs.upload(work, run), ({ stored }) => stored),
    restore: (work, run) => counting('restored', node.id, jobs.restore(work, run), ({ fetchedBytes }) => fetchedBytes),
  };
}

/** Adds what a job moved to what this process counts. */
async function counting<T>(
  kind: Parameters<typeof countBytes>[0],
  node: string,
  job: Promise<T>,
  bytes: (done: T) => number,
): Promise<T> {
  const done = await job;
  countBytes(kind, node, bytes(done));
  return done;
}

/** What is logged meanwhile names the backup. */
const about = <T>({ backup }: { backup: BackupEntry }, job: () => Promise<T>): Promise<T> =>
  withFields({ backup: backup.name }, job);

/**
 * Makes the link directories and removes what a killed process left, but for the links of `running`, which goes on.
 * Refuses a root that is not there: an empty backup of it would be the worst of lies.
 */
export function prepareRoots(node: NodeConfig, running: string | undefined): void {
  rmSync(join(node.stateDir, PREVIEWS), { recursive: true, force: true });
  for (const root of node.roots) {
    const links = new LinkDirectory(node.id, root);
    links.ensureUsable();
    links.dropLeftovers(running);
  }
}
