import { CancellationScope, CancelledFailure, isCancellation } from '@temporalio/workflow';

/**
 * Runs all jobs at once. The first failure cancels the others; it settles only when none runs any more. When the caller
 * was cancelled it ends as cancelled even where a dead node never confirmed (its activity ends as a time-out).
 */
export async function fanOut<T>(jobs: readonly (() => Promise<T>)[]): Promise<T[]> {
  const caller = CancellationScope.current();
  const group = new CancellationScope();
  let first: unknown;
  const settled = await Promise.allSettled(
    jobs.map((job) =>
      group.run(job).catch((error: unknown) => {
        first ??= error;
        group.cancel();
        throw error;
      }),
    ),
  );
  if (first === undefined) return settled.map((one) => (one as PromiseFulfilledResult<T>).value);
  if (caller.consideredCancelled && !isCancellation(first)) {
    throw new CancelledFailure('cancelled; not everybody confirmed', [], first as Error);
  }
  throw first;
}
