import { Worker } from 'node:worker_threads';
import type { JobAsked, JobMessage, JobThreadStart } from './job.ts';
import { heapLimits, moduleBeside } from './threads.ts';

/** Who waits for a job's thread. */
export interface JobListener {
  told(message: JobMessage): void;
  died(how: string, cause?: unknown): void;
}

/** A thread that does jobs of one table, one at a time. */
export class JobWorker {
  readonly jobs: string;
  readonly #worker: Worker;
  #listener: JobListener | undefined;

  /** `jobs`: the module of the table. */
  constructor(jobs: string) {
    this.jobs = jobs;
    const start: JobThreadStart = { jobs };
    this.#worker = new Worker(moduleBeside(import.meta.url, 'jobThread'), {
      workerData: start,
      name: 'homarus job',
      resourceLimits: heapLimits,
    });
    this.#worker.on('message', (message: JobMessage) => this.#listener?.told(message));
    this.#worker.on('error', (error) => this.#died(`failed: ${(error as Error).message}`, error));
    this.#worker.on('exit', (code) => this.#died(`ended with code ${code} before its work was done`));
  }

  ask(asked: JobAsked, listener: JobListener): void {
    this.#listener = listener;
    this.#worker.ref();
    this.#worker.postMessage(asked);
  }

  stop(): void {
    this.#worker.postMessage('stop');
  }

  /** It keeps no process alive. */
  rest(): void {
    this.#listener = undefined;
    this.#worker.unref();
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #died(how: string, cause?: unknown): void {
    if (waiting === this) waiting = undefined;
    this.#listener?.died(how, cause);
  }
}

/** One is enough: jobs of a node follow each other. */
let waiting: JobWorker | undefined;

/** The one that waits, or a new one: to start a thread and to load what jobs need takes longer than a small job. */
export function takeWorker(jobs: string): JobWorker {
  if (waiting?.jobs !== jobs) return new JobWorker(jobs);
  const taken = waiting;
  waiting = undefined;
  return taken;
}

/** Lets it wait for the next job. */
export function keepWorker(worker: JobWorker): void {
  void waiting?.end();
  waiting = worker;
  worker.rest();
}
