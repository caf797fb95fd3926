import type { StorageSettings } from '../storage/openStore.ts';
import { openStore } from '../storage/openStore.ts';
import type { Known, Repository } from '../storage/repository.ts';
import { knownRepository } from '../storage/repository.ts';
import type { CleanerInput } from './cleaner.ts';
import { clean } from './cleaner.ts';
import type { DrillInput } from './drill.ts';
import { drill } from './drill.ts';
import type { EstimateInput } from './estimate.ts';
import { estimate } from './estimate.ts';
import type { ExtractInput } from './extract.ts';
import { extract } from './extract.ts';
import type { FinishArgs } from './finish.ts';
import { finish } from './finish.ts';
import type { JobContext } from './job.ts';
import type { RestoreNodeInput } from './restoreNode.ts';
import { previewNode, restoreNode } from './restoreNode.ts';
import type { SnapshotInput } from './snapshot.ts';
import { snapshot } from './snapshot.ts';
import type { UploadInput } from './uploader.ts';
import { upload } from './uploader.ts';
import type { VerifyPacksInput } from './verifyPacks.ts';
import { verifyPacks } from './verifyPacks.ts';

/** The repository that a job works on, which was opened for it, and how much of the machine it may use. */
export interface RepositoryArgs {
  storage: StorageSettings;
  opened: Pick<Known, 'parameters' | 'unlocked'>;
  /** zstd level of what is written, 0 for none. */
  level: number;
  /** Requests to the storage at once. */
  requests: number;
  threads: number;
}

/** What the last job of this thread learned of its repository: the next one is mostly of the same operation. */
let last: Known | undefined;

async function using<T>(
  { storage, opened, level, requests }: RepositoryArgs,
  { throwIfLost }: JobContext,
  body: (repository: Repository) => Promise<T>,
): Promise<T> {
  const store = await openStore(storage, { requests, mayWrite: throwIfLost });
  try {
    const repository = knownRepository(store, last?.parameters.id === opened.parameters.id ? last : opened, level);
    const { parameters, unlocked, roots } = repository;
    last = { parameters, unlocked, roots };
    return await body(repository);
  } finally {
    await store.close();
  }
}

/** All that runs in a thread of its own: see `runJob`. */
export const jobs = {
  snapshot: (args: RepositoryArgs & SnapshotInput, context: JobContext) =>
    using(args, context, (repository) => snapshot(repository, args, context)),
  estimate: (args: RepositoryArgs & EstimateInput, context: JobContext) =>
    using(args, context, (repository) => estimate(repository, args, context)),
  upload: (args: RepositoryArgs & UploadInput, context: JobContext) =>
    using(args, context, (repository) => upload(repository, args, context)),
  restore: (args: RepositoryArgs & RestoreNodeInput, context: JobContext) =>
    using(args, context, (repository) => restoreNode(repository, args, context)),
  preview: (args: RepositoryArgs & RestoreNodeInput, context: JobContext) =>
    using(args, context, (repository) => previewNode(repository, args, context)),
  drill: (args: RepositoryArgs & DrillInput, context: JobContext) =>
    using(args, context, (repository) => drill(repository, args, context)),
  extract: (args: RepositoryArgs & ExtractInput, context: JobContext) =>
    using(args, context, (repository) => extract(repository, args, context)),
  verifyPacks: (args: RepositoryArgs & VerifyPacksInput, context: JobContext) =>
    using(args, context, (repository) => verifyPacks(repository, args, context)),
  cleanUp: (args: RepositoryArgs & CleanerInput, context: JobContext) =>
    using(args, context, (repository) => clean(repository, args, context)),
  finish: (args: FinishArgs) => finish(args),
} as const;
