import type { RootDocument } from '../domain/documents.ts';
import type { RestoreForecast } from '../domain/results.ts';
import type { Repository } from '../storage/repository.ts';
import { freeBytes, spaceOf } from './freeSpace.ts';
import type { JobContext } from './job.ts';
import type { RestoreInput } from './planRestore.ts';
import { withPlan } from './planRestore.ts';
import { foreseenRoot } from './restoreArea.ts';

/** What `restoreTrees` would do with the same input. Nothing is changed but for the plan in the work directory. */
export async function previewTrees(
  repository: Repository,
  root: Pick<RootDocument, 'indexes' | 'damaged'>,
  input: RestoreInput,
  context: JobContext,
): Promise<Omit<RestoreForecast, 'node'>> {
  const foreseen = input.roots.map((place, number) => foreseenRoot(number, place, input.operation));
  const targets = {
    roots: foreseen.map((one) => one.root),
    verify: input.verifyExisting || foreseen.some(({ afterCrash }) => afterCrash),
    lookOnly: true,
  };
  return withPlan(
    repository,
    root,
    input,
    context,
    () => targets,
    async ({ plan, fetch, needs }) => {
      let fetchBytes = 0;
      for (const { length } of fetch.ranges()) fetchBytes += length;
      // A root that is not there yet will be on the file system of what is above it.
      const there = needs.map((need, place) => ({ ...need, at: foreseen[place]?.above ?? need.path }));
      const free = (path: string): number => freeBytes(there.find((need) => need.path === path)?.at ?? path);
      return { ...plan.counts, fetchBytes, removed: plan.removals.count, space: spaceOf(needs, free) };
    },
  );
}
