import type { NodeProgress } from '../domain/operations.ts';

/** What a job counts. Its thread writes them, whoever watches it reads them, through shared memory. */
export type ProgressCounters = Omit<NodeProgress, 'rate' | 'at'>;

const NAMES = ['filesDone', 'filesTotal', 'bytesDone', 'bytesTotal'] as const satisfies (keyof ProgressCounters)[];
export const PROGRESS_BYTES = NAMES.length * Float64Array.BYTES_PER_ELEMENT;

/** The counters that stand in `memory` (`PROGRESS_BYTES` of it). */
export function countersIn(memory: ArrayBufferLike): ProgressCounters {
  const numbers = new Float64Array(memory);
  const counters = {} as ProgressCounters;
  for (const [place, name] of NAMES.entries()) {
    Object.defineProperty(counters, name, {
      enumerable: true,
      get: () => numbers[place],
      set: (count: number) => {
        numbers[place] = count;
      },
    });
  }
  return counters;
}

const WINDOW = 5_000;

/** Bytes per second over the last five seconds. */
export class RateMeter {
  readonly #samples: { time: number; bytes: number }[] = [];

  /** `time` in ms, by a clock that never goes back. */
  rate(bytes: number, time: number): number {
    this.#samples.push({ time, bytes });
    // The newest of the samples that are older than the window stays: rates are measured from it.
    while (this.#samples.length > 2 && (this.#samples[1]?.time ?? time) <= time - WINDOW) this.#samples.shift();
    const first = this.#samples[0];
    return first === undefined || time === first.time ? 0 : ((bytes - first.bytes) * 1000) / (time - first.time);
  }
}
