import { availableParallelism } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import type { JobContext, JobMessage, JobStart } from './job.ts';
import { WorkPool } from './pool.ts';
import { countersIn } from './progress.ts';
import { errorToCross, StopFlag, stopped } from './threads.ts';

/** The thread of one job: see `runJob`. */

const AT_EVERY = 250;

const start = workerData as JobStart;
const { threads, node, workDirectory } = start.args as {
  threads?: number;
  node?: { stateDir?: string };
  workDirectory?: string;
};
const tell = (message: JobMessage): void => parentPort?.postMessage(message);
const controller = new AbortController();
parentPort?.on('message', () => controller.abort(stopped()));
const flag = new StopFlag(start.stop);
let said = 0;

const context: JobContext = {
  signal: controller.signal,
  throwIfStopped: () => flag.throwIfStopped(),
  progress: countersIn(start.progress),
  at(what) {
    const now = performance.now();
    if (now - said < AT_EVERY) return;
    said = now;
    tell({ type: 'at', what });
  },
  warn: (message) => tell({ type: 'warning', message }),
  pool: new WorkPool({ threads: threads ?? availableParallelism(), signal: controller.signal, stop: flag }),
};

try {
  const { jobs } = (await import(start.jobs)) as {
    jobs: Record<string, (args: unknown, context: JobContext) => unknown>;
  };
  const job = jobs[start.kind];
  if (!job) throw new Error(`there is no job "${start.kind}"`);
  const result = await job(start.args, context);
  await context.pool.close();
  tell({ type: 'result', result });
} catch (error) {
  // Nobody is to write after it was said to have stopped.
  await context.pool.close();
  tell({ type: 'failed', error: errorToCross(error, node?.stateDir ?? workDirectory) });
}
