import { setTimeout as pause } from 'node:timers/promises';

type Wait = (ms: number, signal: AbortSignal) => Promise<void>;

/** Holds a rate: each `take` waits until what was taken before it has had its time. */
export class Throttle {
  readonly #perSecond: number;
  readonly #wait: Wait;
  #free = 0;

  /** Bytes per second. */
  constructor(perSecond: number, wait: Wait = (ms, signal) => pause(ms, undefined, { signal })) {
    this.#perSecond = perSecond;
    this.#wait = wait;
  }

  async take(bytes: number, signal: AbortSignal): Promise<void> {
    const now = performance.now();
    const start = Math.max(this.#free, now);
    this.#free = start + (bytes / this.#perSecond) * 1000;
    if (start > now) await this.#wait(start - now, signal);
  }
}
