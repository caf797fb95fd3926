import { Worker } from 'node:worker_threads';
import { HomarusError } from '../domain/errors.ts';
import type { NodeProgress } from '../domain/operations.ts';
import type { BytePath } from './bytePath.ts';
import { shown } from './bytePath.ts';
import type { jobs } from './jobs.ts';
import type { WorkPool } from './pool.ts';
import type { ProgressCounters } from './progress.ts';
import { countersIn, PROGRESS_BYTES, RateMeter } from './progress.ts';
import type { CrossingError } from './threads.ts';
import { crossedError, moduleBeside, StopFlag } from './threads.ts';

/**
 * The long work of a node runs in a thread of its own, with file calls that block it, so that heartbeats and cancellation
 * never wait for a disk.
 */

/** What a job has of whoever asked for it. */
export interface JobContext {
  /** Aborted when the job is to stop: for calls that wait. */
  readonly signal: AbortSignal;
  /** Throws `Cancelled` when the job is to stop: for loops that never wait. */
  throwIfStopped(): void;
  readonly progress: ProgressCounters;
  /** What it is at, for people; cheap, so that it may be said of every file. */
  at(what: BytePath): void;
  warn(message: string): void;
  readonly pool: WorkPool;
}

export interface JobOptions {
  signal: AbortSignal;
  onProgress?: (progress: NodeProgress) => void;
  onWarning?: (message: string) => void;
  /** How often progress is told, ms. */
  every?: number;
  /** How long a job that is to stop may take to clean up; then its thread is ended, ms. */
  grace?: number;
}

/** What a job's thread is started with, and tells. */
export interface JobStart {
  jobs: string;
  kind: string;
  args: unknown;
  stop: SharedArrayBuffer;
  progress: SharedArrayBuffer;
}

export type JobMessage =
  | { type: 'at'; what: BytePath }
  | { type: 'warning'; message: string }
  | { type: 'result'; result: unknown }
  | { type: 'failed'; error: CrossingError };

const EVERY = 500;
const GRACE = 2_000;

type Jobs = typeof jobs;

/**
 * Runs a job of the table in `jobs.ts` and answers its result; when this returns or rejects, its threads have ended. Rejects
 * with the job's error, with the signal's reason when that was aborted, with `NodeFailed` when the thread died.
 */
export function runJob<K extends keyof Jobs & string>(
  kind: K,
  args: Parameters<Jobs[K]>[0],
  options: JobOptions,
): Promise<Awaited<ReturnType<Jobs[K]>>> {
  return runJobOf(moduleBeside(import.meta.url, 'jobs'), kind, args, options) as Promise<Awaited<ReturnType<Jobs[K]>>>;
}

/** The same with the table of another module. */
export async function runJobOf(jobs: URL, kind: string, args: unknown, options: JobOptions): Promise<unknown> {
  const { signal, onProgress, onWarning } = options;
  signal.throwIfAborted();
  const flag = new StopFlag();
  const memory = new SharedArrayBuffer(PROGRESS_BYTES);
  const start: JobStart = { jobs: jobs.href, kind, args, stop: flag.memory, progress: memory };
  const worker = new Worker(moduleBeside(import.meta.url, 'jobThread'), { workerData: start, name: `homarus ${kind}` });
  const ended = Promise.withResolvers<unknown>();
  const failed = (how: string, cause?: unknown) =>
    ended.reject(new HomarusError('NodeFailed', `the thread of the ${kind} ${how}`, { cause }));

  const counters = countersIn(memory);
  const meter = new RateMeter();
  let at = '';
  const report = (): void => {
    const rate = meter.rate(counters.bytesDone, performance.now());
    onProgress?.({ ...counters, rate, at });
  };
  worker.on('message', (message: JobMessage) => {
    if (message.type === 'at') at = shown(message.what);
    else if (message.type === 'warning') onWarning?.(message.message);
    else if (message.type === 'result') ended.resolve(message.result);
    else ended.reject(crossedError(message.error));
  });
  worker.on('error', (error) => failed(`failed: ${(error as Error).message}`, error));
  worker.on('exit', (code) => failed(`ended with code ${code} before its work was done`));

  let deadline: NodeJS.Timeout | undefined;
  const stop = (): void => {
    flag.stop();
    worker.postMessage('stop');
    deadline = setTimeout(() => void worker.terminate(), options.grace ?? GRACE);
  };
  signal.addEventListener('abort', stop, { once: true });
  const ticker = setInterval(report, options.every ?? EVERY);
  try {
    const result = await ended.promise;
    report();
    return result;
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    clearInterval(ticker);
    clearTimeout(deadline);
    signal.removeEventListener('abort', stop);
    await worker.terminate();
  }
}
