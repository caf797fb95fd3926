import type { JobContext } from '../../src/node/job.ts';
import type { WorkPool } from '../../src/node/pool.ts';
import { tasks } from '../../src/node/tasks.ts';

const never = new AbortController().signal;

/** A job in the caller's own thread, and its tasks in it, too: its file calls are the caller's, and it costs no thread. */
export function ownThreadContext(signal: AbortSignal = never): JobContext {
  const throwIfStopped = (): void => signal.throwIfAborted();
  const run = async (name: string, args: unknown): Promise<unknown> => {
    const task = tasks[name as keyof typeof tasks] as (args: unknown, context: unknown) => { result: unknown };
    return task(args, { throwIfStopped }).result;
  };
  return {
    signal,
    throwIfStopped,
    throwIfLost: () => undefined,
    progress: { filesDone: 0, filesTotal: 0, bytesDone: 0, bytesTotal: 0 },
    at: () => undefined,
    warn: () => undefined,
    pool: { threads: 2, run } as unknown as WorkPool,
  };
}
