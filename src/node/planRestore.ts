import { join } from 'node:path';
import type { RootDocument, TreeRef } from '../domain/documents.ts';
import { ChunkReader } from '../storage/chunkReader.ts';
import { openReadable } from '../storage/openIndexes.ts';
import type { Repository } from '../storage/repository.ts';
import type { Sealing } from '../storage/sealing.ts';
import type { BytePath } from './bytePath.ts';
import { settleDoubts } from './checkContents.ts';
import type { RestoreRoot } from './compareTarget.ts';
import { TargetComparison } from './compareTarget.ts';
import { FetchPlan } from './fetchPlan.ts';
import type { SpaceNeed } from './freeSpace.ts';
import { checkSpace } from './freeSpace.ts';
import type { JobContext } from './job.ts';
import type { AreaPlace } from './restoreArea.ts';
import { RestorePlan } from './restorePlan.ts';
import { rowAt, selectedRows } from './selectedRows.ts';
import type { Selection } from './walk.ts';
import { mkdirSync, rmSync } from './writing.ts';

export interface RestoreInput {
  roots: (AreaPlace & { tree: TreeRef })[];
  select: Selection;
  /** Whether what the tree does not have may go; all of it may where this is missing. */
  removable?: (path: BytePath) => boolean;
  /** Directories or files below which all is that the selection covers. */
  bases: readonly BytePath[];
  /** Compare the content of files that look right, too. */
  verifyExisting: boolean;
  /** Names the temporary files. */
  operation: string;
  /** To the storage at once. */
  requests?: number | undefined;
  /** For the plan; made and removed. */
  workDirectory: string;
}

/** The targets, and how they are looked at. */
export interface Targets {
  roots: RestoreRoot[];
  /** Trust no size and time. */
  verify: boolean;
  /** Nothing in them may be changed. */
  lookOnly: boolean;
}

export interface Planned {
  plan: RestorePlan;
  fetch: FetchPlan;
  roots: RestoreRoot[];
  /** Of each root. */
  needs: SpaceNeed[];
}

/**
 * Compares the trees with the targets, and hands what is to be done, on disk, to `body`: the same for a restore and for who
 * only looks. Without `lookOnly`, `NoSpace` comes first; then `ObjectMissing` when no index has a chunk that is needed.
 */
export async function withPlan<T>(
  repository: Repository,
  root: Pick<RootDocument, 'indexes' | 'damaged'>,
  input: RestoreInput,
  context: JobContext,
  open: () => Targets,
  body: (planned: Planned) => Promise<T>,
): Promise<T> {
  const { signal } = context;
  const indexes = await openReadable(repository, root, { signal });
  rmSync(input.workDirectory, { recursive: true, force: true });
  mkdirSync(input.workDirectory, { recursive: true, mode: 0o700 });
  const plan = new RestorePlan(join(input.workDirectory, 'plan'));
  try {
    const targets = open();
    const needs = await compare(
      repository.sealing,
      plan,
      targets,
      new ChunkReader(repository, indexes),
      input,
      context,
    );
    if (!targets.lookOnly) checkSpace(needs);
    const fetch = await FetchPlan.make(plan, indexes, input.workDirectory, { signal });
    try {
      return await body({ plan, fetch, roots: targets.roots, needs });
    } finally {
      fetch.close();
    }
  } finally {
    plan.close();
    rmSync(input.workDirectory, { recursive: true, force: true });
  }
}

async function compare(
  sealing: Sealing,
  plan: RestorePlan,
  { roots, verify, lookOnly }: Targets,
  reader: ChunkReader,
  input: RestoreInput,
  context: JobContext,
): Promise<SpaceNeed[]> {
  const { signal, progress } = context;
  const comparisons: TargetComparison[] = [];
  for (const root of roots) {
    const { tree } = input.roots[root.number]!;
    const comparison = new TargetComparison(plan, root, {
      ...{ select: input.select, removable: input.removable ?? (() => true), verify, lookOnly },
      lookUp: (path) => rowAt(reader, tree, path, { signal }),
      throwIfStopped: () => context.throwIfStopped(),
    });
    comparisons.push(comparison);
    await comparison.compare(selectedRows(reader, tree, input.bases, { signal }));
  }
  progress.filesTotal = plan.counts.files;
  progress.bytesTotal = plan.counts.bytes;
  await settleDoubts(sealing, plan, roots, comparisons, context);
  progress.filesDone = plan.counts.kept;
  progress.bytesDone = plan.counts.keptBytes;
  return roots.map(({ target, device }, place) => ({
    path: Buffer.from(target.root, 'latin1').toString('utf8'),
    device,
    ...(comparisons[place] as TargetComparison).space,
  }));
}
