import type { Transferable } from 'node:worker_threads';
import { Worker } from 'node:worker_threads';
import { HomarusError } from '../domain/errors.ts';
import type { CrossingError } from './threads.ts';
import { crossedError, heapLimits, moduleBeside, StopFlag, stopped } from './threads.ts';

/** What a pool's thread is started with, asked, and answers. */
export interface WorkStart {
  tasks: string;
  stop: SharedArrayBuffer;
}

export interface WorkAsked {
  id: number;
  task: string;
  args: unknown;
}

export type WorkAnswer = { id: number; result: unknown } | { id: number; error: CrossingError };

export interface PoolOptions {
  /** At most so many; they start when they are needed. */
  threads: number;
  /** Aborted: what waits is refused, what runs ends at its own pace. */
  signal: AbortSignal;
  stop?: StopFlag;
  /** Module with the table `tasks`; ours, unless a test brings its own. */
  tasks?: URL;
}

export interface RunOptions {
  /** Moved to the thread, not copied. */
  transfer?: readonly Transferable[];
  /** May wait at a busy thread, so that it has work while the caller is busy too. For many tasks of like size. */
  ahead?: boolean;
}

interface Waiting {
  asked: WorkAsked;
  options: RunOptions;
  settle: PromiseWithResolvers<unknown>;
}

interface Thread {
  worker: Worker;
  running: Map<number, PromiseWithResolvers<unknown>>;
}

/** Threads that do what keeps a processor or a disk busy (`tasks.ts`), first come, first served. */
export class WorkPool {
  readonly threads: number;
  readonly #options: PoolOptions;
  readonly #stop: StopFlag;
  readonly #pool: Thread[] = [];
  #waiting: Waiting[] = [];
  #next = 0;
  /** Why nothing is taken any more. */
  #ended: Error | undefined;

  constructor(options: PoolOptions) {
    this.threads = options.threads;
    this.#options = options;
    this.#stop = options.stop ?? new StopFlag();
    options.signal.addEventListener('abort', this.#aborted, { once: true });
    if (options.signal.aborted) this.#ended = stopped();
  }

  /** Rejects with the task's error, with `Cancelled` when it was stopped, with `NodeFailed` when the thread died. */
  run<T>(task: string, args: unknown, options: RunOptions = {}): Promise<T> {
    if (this.#ended) return Promise.reject(this.#ended);
    const settle = Promise.withResolvers<unknown>();
    this.#waiting.push({ asked: { id: this.#next++, task, args }, options, settle });
    this.#assign();
    return settle.promise as Promise<T>;
  }

  async close(): Promise<void> {
    this.#options.signal.removeEventListener('abort', this.#aborted);
    this.#refuse(stopped());
    await Promise.all(this.#pool.map(({ worker }) => worker.terminate()));
  }

  readonly #aborted = (): void => this.#refuse(stopped());

  #refuse(reason: Error): void {
    this.#ended ??= reason;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { settle } of waiting) settle.reject(this.#ended);
  }

  #assign(): void {
    for (let first = this.#waiting[0]; first; first = this.#waiting[0]) {
      const thread = this.#threadFor(first.options);
      if (!thread) return;
      this.#waiting.shift();
      thread.running.set(first.asked.id, first.settle);
      thread.worker.postMessage(first.asked, first.options.transfer ?? []);
    }
  }

  #threadFor({ ahead }: RunOptions): Thread | undefined {
    const idle = this.#pool.find(({ running }) => running.size === 0);
    if (idle) return idle;
    if (this.#pool.length < this.threads) return this.#start();
    return ahead ? this.#pool.find(({ running }) => running.size === 1) : undefined;
  }

  #start(): Thread {
    const start: WorkStart = {
      tasks: (this.#options.tasks ?? moduleBeside(import.meta.url, 'tasks')).href,
      stop: this.#stop.memory,
    };
    const worker = new Worker(moduleBeside(import.meta.url, 'workThread'), {
      workerData: start,
      name: 'homarus work',
      resourceLimits: heapLimits,
    });
    const thread: Thread = { worker, running: new Map() };
    worker.on('message', (answer: WorkAnswer) => {
      const settle = thread.running.get(answer.id);
      thread.running.delete(answer.id);
      if ('error' in answer) settle?.reject(crossedError(answer.error));
      else settle?.resolve(answer.result);
      this.#assign();
    });
    worker.on('error', (cause) => this.#died(thread, `failed: ${(cause as Error).message}`, cause));
    worker.on('exit', (code) => this.#died(thread, `ended with code ${code}`));
    this.#pool.push(thread);
    return thread;
  }

  #died(thread: Thread, how: string, cause?: unknown): void {
    const reason = this.#ended ?? new HomarusError('NodeFailed', `a work thread of the node ${how}`, { cause });
    for (const settle of thread.running.values()) settle.reject(reason);
    thread.running.clear();
    this.#refuse(reason);
  }
}
