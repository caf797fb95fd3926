import { CancellationScope, CancelledFailure, isCancellation } from '@temporalio/workflow';
import { inLanes } from '../domain/lanes.ts';

/**
 * Runs all jobs, at once unless told otherwise. The first failure cancels the others, and those that have not begun never
 * do; it settles only when none runs any more. When the caller was cancelled it ends as cancelled even where a dead node
 * never confirmed (its activity ends as a time-out).
 */
export async function fanOut<T>(
  jobs: readonly (() => Promise<T>)[],
  { atOnce = jobs.length }: { atOnce?: number } = {},
): Promise<T[]> {
  const caller = CancellationScope.current();
  const group = new CancellationScope();
  const answers: T[] = [];
  let first: unknown;
  await inLanes(
    atOnce,
    jobs.map((job, place) => async () => {
      try {
        if (group.consideredCancelled) throw new CancelledFailure('cancelled before it began');
        answers[place] = await group.run(job);
      } catch (error) {
        first ??= error;
        group.cancel();
      }
    }),
  );
  if (first === undefined) return answers;
  if (caller.consideredCancelled && !isCancellation(first)) {
    throw new CancelledFailure('cancelled; not everybody confirmed', [], first as Error);
  }
  throw first;
}
