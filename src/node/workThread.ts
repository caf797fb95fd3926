import { parentPort, workerData } from 'node:worker_threads';
import type { WorkAnswer, WorkAsked, WorkStart } from './pool.ts';
import type { Task } from './tasks.ts';
import { errorToCross, StopFlag } from './threads.ts';
import { writeUnder } from './writing.ts';

/** One thread of a pool: does one task after another. */

const start = workerData as WorkStart;
const flag = new StopFlag(start.stop);
writeUnder(flag);
const context = { throwIfStopped: () => flag.throwIfStopped() };
const { tasks } = (await import(start.tasks)) as { tasks: Record<string, Task> };

parentPort?.on('message', ({ id, task, args }: WorkAsked) => {
  const answer = (message: WorkAnswer, transfer: readonly ArrayBuffer[] = []) =>
    parentPort?.postMessage(message, transfer);
  try {
    flag.throwIfStopped();
    const work = tasks[task];
    if (!work) throw new Error(`there is no task "${task}"`);
    const { result, transfer } = work(args as never, context);
    answer({ id, result }, transfer);
  } catch (error) {
    answer({ id, error: errorToCross(error) });
  }
});
