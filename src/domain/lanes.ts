/** Runs all jobs in their order, at most `atOnce` at a time; the first so many begin before it returns. Jobs do not reject. */
export async function inLanes(atOnce: number, jobs: readonly (() => Promise<void>)[]): Promise<void> {
  const waiting = jobs.values();
  const lane = async (): Promise<void> => {
    for (const job of waiting) await job();
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, jobs.length) }, lane));
}
