import { HomarusError } from '../domain/errors.ts';
import type { NodeProgress } from '../domain/operations.ts';
import type { RequestCounts } from '../storage/requestCounts.ts';
import { addRequests } from '../storage/requestCounts.ts';
import type { BytePath } from './bytePath.ts';
import { shown } from './bytePath.ts';
import type { jobs } from './jobs.ts';
import { keepWorker, takeWorker } from './jobWorkers.ts';
import type { WorkPool } from './pool.ts';
import type { Priority } from './priority.ts';
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
  /** Throws `Cancelled` when the job is to stop, `LockLost` when the node's lease has run out: for loops that never wait. */
  throwIfStopped(): void;
  /** Throws `LockLost` when the node's lease has run out: before whatever cannot be taken back. */
  throwIfLost(): void;
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
  /** Of the job's threads; the same for all jobs of a process. */
  priority?: Priority | undefined;
  /** How often progress is told, ms. */
  every?: number;
  /** Of the node's lease, where the work runs under one. */
  stop?: StopFlag | undefined;
  /** How long a job that is to stop may take to clean up; then its thread is ended, ms. */
  grace?: number;
}

/** What a thread of jobs is started with, asked, and tells. */
export interface JobThreadStart {
  jobs: string;
}

export interface JobAsked {
  kind: string;
  args: unknown;
  stop: SharedArrayBuffer;
  progress: SharedArrayBuffer;
  priority?: Priority | undefined;
}

export type JobMessage =
  | { type: 'at'; what: BytePath }
  | { type: 'warning'; message: string }
  /** `light`: the thread holds little memory, and may wait for another job. */
  | { type: 'result'; result: unknown; light: boolean }
  | { type: 'failed'; error: CrossingError }
  | { type: 'requests'; counts: RequestCounts };

const EVERY = 500;
const GRACE = 2_000;

type Jobs = typeof jobs;

/** Starts the thread of the first job beforehand. */
export function expectJob(): void {
  keepWorker(takeWorker(ourJobs));
}

const ourJobs = moduleBeside(import.meta.url, 'jobs').href;

/**
 * Runs a job of the table in `jobs.ts` and answers its result; when this returns or rejects, nothing of it runs any more.
 * Rejects with the job's error, with the signal's reason when that was aborted, with `NodeFailed` when the thread died.
 */
export function runJob<K extends keyof Jobs & string>(
  kind: K,
  args: Parameters<Jobs[K]>[0],
  options: JobOptions,
): Promise<Awaited<ReturnType<Jobs[K]>>> {
  return runJobOf(ourJobs, kind, args, options) as Promise<Awaited<ReturnType<Jobs[K]>>>;
}

/** The same with the table of another module. */
export async function runJobOf(jobs: string, kind: string, args: unknown, options: JobOptions): Promise<unknown> {
  const { signal, onProgress, onWarning } = options;
  signal.throwIfAborted();
  const flag = options.stop ?? new StopFlag();
  const memory = new SharedArrayBuffer(PROGRESS_BYTES);
  const worker = takeWorker(jobs);
  let keep = false;
  const ended = Promise.withResolvers<unknown>();

  const counters = countersIn(memory);
  const meter = new RateMeter();
  let at = '';
  const report = (): void => {
    const rate = meter.rate(counters.bytesDone, performance.now());
    onProgress?.({ ...counters, rate, at });
  };
  const told = (message: JobMessage): void => {
    if (message.type === 'at') at = shown(message.what);
    else if (message.type === 'requests') addRequests(message.counts);
    else if (message.type === 'warning') onWarning?.(message.message);
    else if (message.type === 'failed') ended.reject(crossedError(message.error));
    else {
      keep = message.light;
      ended.resolve(message.result);
    }
  };
  const died = (how: string, cause?: unknown): void =>
    ended.reject(new HomarusError('NodeFailed', `the thread of the ${kind} ${how}`, { cause }));

  let deadline: NodeJS.Timeout | undefined;
  const stop = (): void => {
    flag.stop();
    worker.stop();
    deadline = setTimeout(() => void worker.end(), options.grace ?? GRACE);
  };
  signal.addEventListener('abort', stop, { once: true });
  const ticker = setInterval(report, options.every ?? EVERY);
  try {
    worker.ask({ kind, args, stop: flag.memory, progress: memory, priority: options.priority }, { told, died });
    const result = await ended.promise;
    report();
    return result;
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    clearInterval(ticker);
    clearTimeout(deadline);
    signal.removeEventListener('abort', stop);
    if (keep && !signal.aborted) keepWorker(worker);
    else await worker.end();
  }
}
