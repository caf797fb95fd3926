import { ApplicationFailure } from '@temporalio/activity';

interface Running {
  readonly abort: AbortController;
  readonly ended: Promise<unknown>;
}

/**
 * What runs in this process, by activity. The server may hand out the next attempt while the former one still winds
 * down here (a process that was stopped for a while gets it within milliseconds of waking): the newer one aborts the
 * older and awaits its end before it touches anything.
 */
export class Attempts {
  readonly #running = new Map<string, Running>();

  async run<T>(key: string, abort: AbortController, body: () => Promise<T>): Promise<T> {
    const older = this.#running.get(key);
    const run = async (): Promise<T> => {
      if (older) {
        older.abort.abort(
          ApplicationFailure.retryable('a newer attempt of this activity runs here', 'WorkerRestarted'),
        );
        await older.ended.catch(() => undefined);
      }
      return body();
    };
    const ended = run();
    const entry = { abort, ended };
    this.#running.set(key, entry);
    try {
      return await ended;
    } finally {
      if (this.#running.get(key) === entry) this.#running.delete(key);
    }
  }
}
