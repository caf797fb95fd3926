import type { RootDocument } from '../domain/documents.ts';
import type { Repository } from '../storage/repository.ts';
import { PlanSteps } from './applyPlan.ts';
import type { RestoreRoot } from './compareTarget.ts';
import { FileWriter } from './fetchFiles.ts';
import type { FetchPlan } from './fetchPlan.ts';
import type { JobContext } from './job.ts';
import type { RestoreInput } from './planRestore.ts';
import { withPlan } from './planRestore.ts';
import { RestoreArea } from './restoreArea.ts';
import type { RestorePlan } from './restorePlan.ts';
import { syncRestored } from './syncFiles.ts';

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
  const areas: RestoreArea[] = [];
  let durable = false;
  const open = () => {
    for (const [number, place] of input.roots.entries()) areas.push(new RestoreArea(number, place, input.operation));
    const verify = input.verifyExisting || areas.some(({ afterCrash }) => afterCrash);
    return { roots: areas.map((area) => area.root), verify, lookOnly: false };
  };
  try {
    return await withPlan(repository, root, input, context, open, async ({ plan, fetch, roots }) => {
      const writer = new FileWriter(repository, plan, roots, context, input.requests);
      const counts = await carryOut(writer, plan, fetch, roots, context, () => {
        for (const area of areas) area.close(false);
      });
      durable = true;
      return counts;
    });
  } finally {
    for (const area of areas) area.close(durable);
  }
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
