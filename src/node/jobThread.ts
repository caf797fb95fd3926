import { availableParallelism } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import { takeRequests } from '../storage/requestCounts.ts';
import type { JobAsked, JobContext, JobMessage, JobThreadStart } from './job.ts';
import { WorkPool } from './pool.ts';
import type { Priority } from './priority.ts';
import { lowerPriority } from './priority.ts';
import { countersIn } from './progress.ts';
import { errorToCross, StopFlag, stopped } from './threads.ts';
import { writeUnder } from './writing.ts';

/** A thread that does one job after another: see `runJob`. */

const AT_EVERY = 250;
/** A thread with more memory than this is not worth keeping, bytes. */
const LIGHT = 64 * 1024 * 1024;

type Job = (args: unknown, context: JobContext) => unknown;

const { jobs: from } = workerData as JobThreadStart;
const tell = (message: JobMessage): void => parentPort?.postMessage(message);
const loading = import(from) as Promise<{ jobs: Record<string, Job> }>;
// Its failure is that of the first job.
loading.catch(() => undefined);
let running = new AbortController();
let lowered: Priority | undefined;

parentPort?.on('message', (message: JobAsked | 'stop') => {
  if (message === 'stop') running.abort(stopped());
  else void run(message);
});

async function run({ kind, args, stop, progress, priority }: JobAsked): Promise<void> {
  const controller = new AbortController();
  running = controller;
  const flag = new StopFlag(stop);
  writeUnder(flag);
  const { threads, node, workDirectory } = args as {
    threads?: number;
    node?: { stateDir?: string };
    workDirectory?: string;
  };
  let said = 0;
  const context: JobContext = {
    signal: controller.signal,
    throwIfStopped: () => flag.throwIfStopped(),
    throwIfLost: () => flag.throwIfLost(),
    progress: countersIn(progress),
    at(what) {
      const now = performance.now();
      if (now - said < AT_EVERY) return;
      said = now;
      tell({ type: 'at', what });
    },
    warn: (message) => tell({ type: 'warning', message }),
    pool: new WorkPool({ threads: threads ?? availableParallelism(), signal: controller.signal, stop: flag }),
  };
  if (priority && !lowered) {
    lowered = priority;
    const undone = lowerPriority(priority);
    if (undone !== undefined) context.warn(undone);
  }
  try {
    const { jobs } = await loading;
    const job = jobs[kind];
    if (!job) throw new Error(`there is no job "${kind}"`);
    const result = await job(args, context);
    await context.pool.close();
    tell({ type: 'requests', counts: takeRequests() });
    tell({ type: 'result', result, light: isLight() });
  } catch (error) {
    // Nobody is to write after it was said to have stopped.
    await context.pool.close();
    tell({ type: 'requests', counts: takeRequests() });
    tell({ type: 'failed', error: errorToCross(error, node?.stateDir ?? workDirectory) });
  }
}

function isLight(): boolean {
  const { total_heap_size: heap, external_memory: outside } = getHeapStatistics();
  return heap + outside < LIGHT;
}
