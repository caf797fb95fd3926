import { join } from 'node:path';
import type { RootDocument, TreeRef } from '../domain/documents.ts';
import { ChunkReader } from '../storage/chunkReader.ts';
import { openReadable } from '../storage/openIndexes.ts';
import type { Repository } from '../storage/repository.ts';
import type { Sealing } from '../storage/sealing.ts';
import { PlanSteps } from './applyPlan.ts';
import type { BytePath } from './bytePath.ts';
import { settleDoubts } from './checkContents.ts';
import type { RestoreRoot } from './compareTarget.ts';
import { TargetComparison } from './compareTarget.ts';
import { FileWriter } from './fetchFiles.ts';
import { FetchPlan } from './fetchPlan.ts';
import { checkSpace } from './freeSpace.ts';
import type { JobContext } from './job.ts';
import type { AreaPlace } from './restoreArea.ts';
import { RestoreArea } from './restoreArea.ts';
import { RestorePlan } from './restorePlan.ts';
import { rowAt, selectedRows } from './selectedRows.ts';
import { syncRestored } from './syncFiles.ts';
import type { Selection } from './walk.ts';
import { mkdirSync, rmSync } from './writing.ts';

export interface RestoreInput {
  roots: (AreaPlace & { tree: TreeRef })[];
  select: Selection;
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

export interface RestoreCounts {
  files: number;
  bytes: number;
  kept: number;
  fetchedBytes: number;
  removed: number;
}

/**
 * Makes the targets what the trees say, as far as the selection covers them. All that can be known to fail (space, chunks
 * that no index has) fails before anything is changed; stopped anywhere and called again it comes to the same end.
 */
export async function restoreTrees(
  repository: Repository,
  root: Pick<RootDocument, 'indexes' | 'damaged'>,
  input: RestoreInput,
  context: JobContext,
): Promise<RestoreCounts> {
  const { signal } = context;
  const indexes = await openReadable(repository, root, { signal });
  const areas: RestoreArea[] = [];
  let durable = false;
  rmSync(input.workDirectory, { recursive: true, force: true });
  mkdirSync(input.workDirectory, { recursive: true, mode: 0o700 });
  const plan = new RestorePlan(join(input.workDirectory, 'plan'));
  try {
    for (const [number, place] of input.roots.entries()) {
      areas.push(new RestoreArea(number, place, input.operation));
    }
    const roots = areas.map(({ root }) => root);
    const verify = input.verifyExisting || areas.some(({ afterCrash }) => afterCrash);
    const reader = new ChunkReader(repository, indexes);
    await makePlan(repository.sealing, plan, roots, reader, { ...input, verifyExisting: verify }, context);
    const fetch = await FetchPlan.make(plan, indexes, input.workDirectory, { signal });
    try {
      const writer = new FileWriter(repository, plan, roots, context, input.requests);
      const counts = await carryOut(writer, plan, fetch, roots, context, () => {
        for (const area of areas) area.close(false);
      });
      durable = true;
      return counts;
    } finally {
      fetch.close();
    }
  } finally {
    for (const area of areas) area.close(durable);
    plan.close();
    rmSync(input.workDirectory, { recursive: true, force: true });
  }
}

async function makePlan(
  sealing: Sealing,
  plan: RestorePlan,
  roots: readonly RestoreRoot[],
  reader: ChunkReader,
  input: RestoreInput,
  context: JobContext,
): Promise<void> {
  const { signal, progress } = context;
  const comparisons: TargetComparison[] = [];
  for (const root of roots) {
    const { tree } = input.roots[root.number]!;
    const comparison = new TargetComparison(plan, root, {
      select: input.select,
      verify: input.verifyExisting,
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
  checkSpace(
    roots.map(({ target, device }, place) => ({
      path: Buffer.from(target.root, 'latin1').toString('utf8'),
      device,
      ...(comparisons[place] as TargetComparison).space,
    })),
  );
}

async function carryOut(
  writer: FileWriter,
  plan: RestorePlan,
  fetch: FetchPlan,
  roots: readonly RestoreRoot[],
  context: JobContext,
  written: () => void,
): Promise<RestoreCounts> {
  const steps = new PlanSteps(plan, roots, context);
  const removed = steps.removeExtras();
  steps.makeDirectories();
  await writer.writeSmall();
  await writer.fetch(fetch);
  steps.mendKept();
  steps.placeLinks();
  // What is beside goes first: it changes the times of directories, too.
  written();
  steps.finishDirectories();
  await syncRestored(plan, roots);
  const { files, bytes, kept } = plan.counts;
  return { files, bytes, kept, fetchedBytes: writer.fetched, removed };
}
