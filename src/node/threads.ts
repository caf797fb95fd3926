import { HomarusError, isErrorCode, noSpaceAt } from '../domain/errors.ts';

/** What job threads and pool threads have in common: where their modules are, the stop flag, errors that cross. */

/** The module beside `base` (an `import.meta.url`), whether we run from `src` or from `dist`. */
export function moduleBeside(base: string, name: string): URL {
  return new URL(`${name}${base.endsWith('.ts') ? '.ts' : '.js'}`, base);
}

/** Shared by all threads of a job: synchronous loops look at it, since no message reaches them. */
export class StopFlag {
  readonly memory: SharedArrayBuffer;
  readonly #flag: Int32Array;

  constructor(memory = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.#flag = new Int32Array(memory);
  }

  stop(): void {
    Atomics.store(this.#flag, 0, 1);
  }

  /** Throws `Cancelled` once it was set. */
  throwIfStopped(): void {
    if (Atomics.load(this.#flag, 0) !== 0) throw stopped();
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
