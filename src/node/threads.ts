import { HomarusError, isErrorCode, noSpaceAt } from '../domain/errors.ts';

/** What job threads and pool threads have in common: where their modules are, the stop flag, errors that cross. */

/** The module beside `base` (an `import.meta.url`), whether we run from `src` or from `dist`. */
export function moduleBeside(base: string, name: string): URL {
  return new URL(`${name}${base.endsWith('.ts') ? '.ts' : '.js'}`, base);
}

/**
 * What V8 may take for a thread's own objects, MiB; buffers are not among them. Nothing comes near it: a lower limit makes V8
 * collect earlier, 100 MiB for the threads of a node together.
 */
export const heapLimits = { maxOldGenerationSizeMb: 1024, maxYoungGenerationSizeMb: 16 } as const;

/** The machine's monotonic clock, which is the same in all threads and goes on while a process is stopped, ms. */
export const monotonic = (): number => Number(process.hrtime.bigint()) / NANOSECONDS;

const NANOSECONDS = 1_000_000;
const FOR_EVER = 2n ** 63n - 1n;

/**
 * Shared by all threads of a job: synchronous loops look at it, since no message reaches them. It holds the deadline of the
 * node's lease, too: in a process that was stopped past it, every thread sees so before the timer that should have said it.
 */
export class StopFlag {
  readonly memory: SharedArrayBuffer;
  readonly #words: BigInt64Array;

  constructor(memory?: SharedArrayBuffer) {
    this.memory = memory ?? new SharedArrayBuffer(2 * BigInt64Array.BYTES_PER_ELEMENT);
    this.#words = new BigInt64Array(this.memory);
    if (memory === undefined) Atomics.store(this.#words, 1, FOR_EVER);
  }

  stop(): void {
    Atomics.store(this.#words, 0, 1n);
  }

  /** From this moment of the monotonic clock (ms) on the work has lost its lock, unless that is put off again. */
  lostAt(moment: number): void {
    Atomics.store(this.#words, 1, BigInt(Math.floor(moment * NANOSECONDS)));
  }

  get lost(): boolean {
    return process.hrtime.bigint() >= Atomics.load(this.#words, 1);
  }

  /** Throws `LockLost` when the lease has run out. Asked before every call that changes something. */
  throwIfLost(): void {
    if (this.lost) throw new HomarusError('LockLost', 'the lease of this node ran out while it worked');
  }

  /** Throws `Cancelled` once it was set, and `LockLost` when the lease has run out. */
  throwIfStopped(): void {
    this.throwIfLost();
    if (Atomics.load(this.#words, 0) !== 0n) throw stopped();
  }
}

export const stopped = (): HomarusError => new HomarusError('Cancelled', 'the work on this node was stopped');

/** Structured clone drops an error's code: this is what crosses. */
export interface CrossingError {
  code: string;
  message: string;
  hint?: string;
  stack?: string | undefined;
}

/** `work`: where the thread keeps files of its own. */
export function errorToCross(error: unknown, work = 'the work files'): CrossingError {
  const full = noSpaceAt(work, error);
  if (full !== undefined) return errorToCross(full);
  if (error instanceof HomarusError) {
    return { code: error.code, message: error.message, hint: error.hint, stack: error.stack };
  }
  const { code, stack } = error as NodeJS.ErrnoException;
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return { code: code !== undefined && isErrorCode(code) ? code : 'Internal', message, stack };
}

export function crossedError(error: CrossingError): HomarusError {
  const crossed = new HomarusError(
    isErrorCode(error.code) ? error.code : 'Internal',
    error.message,
    error.hint === undefined ? {} : { hint: error.hint },
  );
  // Where it happened, not where it arrived.
  if (error.stack !== undefined) crossed.stack = error.stack;
  return crossed;
}
