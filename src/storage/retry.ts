import { setTimeout as pause } from 'node:timers/promises';
import { requestCounts } from './requestCounts.ts';

export interface RetryOptions {
  /** Give up after this time, ms. */
  retryFor: number;
  /** A transfer without a byte for this time is cut, ms. */
  stall: number;
  signal?: AbortSignal | undefined;
}

const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 10_000;

/** Why a request that was cut was cut. */
export class Stalled extends Error {
  constructor(ms: number) {
    super(`no byte for ${ms / 1000} s`);
    this.name = 'Stalled';
  }
}

/**
 * Repeats `request` while `isTransient` says that it can help, with exponential back-off and full jitter
 * (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), until `retryFor` is over. Rejects with the
 * signal's reason at once when it aborts.
 */
export async function withRetries<T>(
  options: RetryOptions,
  isTransient: (error: unknown) => boolean,
  request: (alive: Liveness) => Promise<T>,
): Promise<T> {
  const { signal, retryFor, stall } = options;
  const deadline = performance.now() + retryFor;
  for (let longest = FIRST_PAUSE; ; longest = Math.min(longest * 2, LONGEST_PAUSE)) {
    signal?.throwIfAborted();
    const alive = new Liveness(stall, signal);
    requestCounts.tries++;
    try {
      return await request(alive);
    } catch (error) {
      signal?.throwIfAborted();
      const cut = alive.signal.aborted ? alive.signal.reason : error;
      const wait = Math.random() * longest;
      const transient = cut instanceof Stalled || isTransient(error);
      if (!transient || performance.now() + wait > deadline) {
        requestCounts.failed++;
        throw cut;
      }
      requestCounts.repeated++;
      await pause(wait, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
    } finally {
      alive.end();
    }
  }
}

/** Aborts a request when nothing was heard of it for a time. */
class Liveness {
  readonly #stall: number;
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #onAbort = (): void => this.#controller.abort(this.#outer?.reason);
  #timer: NodeJS.Timeout | undefined;

  constructor(stall: number, outer: AbortSignal | undefined) {
    this.#stall = stall;
    this.#outer = outer;
    outer?.addEventListener('abort', this.#onAbort, { once: true });
    this.heard();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** A byte came or went. */
  heard(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#controller.abort(new Stalled(this.#stall)), this.#stall);
    this.#timer.unref();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener('abort', this.#onAbort);
  }
}
