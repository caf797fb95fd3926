import { setTimeout as pause } from 'node:timers/promises';

/** Holds a rate: each `take` waits until what was taken before it has had its time. */
export class Throttle {
  readonly #perSecond: number;
  #free = 0;

  /** Bytes per second. */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  async take(bytes: number, signal: AbortSignal): Promise<void> {
    const now = performance.now();
    const start = Math.max(this.#free, now);
    this.#free = start + (bytes / this.#perSecond) * 1000;
    if (start > now) await pause(start - now, undefined, { signal });
  }
}
