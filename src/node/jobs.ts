import type { StorageSettings } from '../storage/openStore.ts';
import { openStore } from '../storage/openStore.ts';
import type { Repository } from '../storage/repository.ts';
import { openRepository } from '../storage/repository.ts';
import type { Unlocked } from '../storage/unlock.ts';
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

/** Where a job finds its repository, and how much of the machine it may use. */
export interface RepositoryArgs {
  storage: StorageSettings;
  /** The repository must be this cluster's; undefined: any may be read. */
  cluster: string | undefined;
  /** Id of the one that it must be. */
  repository: string | undefined;
  /** What the keys were opened to before, of an encrypted repository. */
  unlocked?: Unlocked | undefined;
  /** zstd level of what is written, 0 for none. */
  level: number;
  /** Requests to the storage at once. */
  requests: number;
  threads: number;
}

async function using<T>(
  args: RepositoryArgs,
  { signal, throwIfLost }: JobContext,
  body: (repository: Repository) => Promise<T>,
): Promise<T> {
  const store = await openStore(args.storage, { requests: args.requests, mayWrite: throwIfLost });
  try {
    const { cluster, repository: id, level, unlocked } = args;
    const { encryption } = args.storage;
    return await body(await openRepository(store, { cluster, id, level, encryption, unlocked, signal }));
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
