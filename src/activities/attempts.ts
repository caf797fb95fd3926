import { ApplicationFailure } from '@temporalio/activity';

/** Names an activity: workflow id, run id, and the activity's id within the run. */
export interface ActivityName {
  readonly operation: string;
  readonly run: string;
  readonly activity: string;
}

interface Running extends ActivityName {
  readonly abort: AbortController;
  readonly ended: Promise<unknown>;
}

/**
 * What runs in this process. The server may hand out the next attempt of an activity while the former one still winds
 * down here (a process that was stopped for a while gets it within milliseconds of waking), and after a reset the
 * activities of the new run come while those of the old one have not heard of their end: the newer one aborts the older
 * ones and awaits their end before it touches anything.
 */
export class Attempts {
  readonly #running = new Set<Running>();

  async run<T>(name: ActivityName, abort: AbortController, body: () => Promise<T>): Promise<T> {
    const older = [...this.#running].filter((other) => supersedes(name, other));
    const run = async (): Promise<T> => {
      for (const other of older) {
        other.abort.abort(
          ApplicationFailure.retryable('a newer attempt of this activity runs here', 'WorkerRestarted'),
        );
      }
      if (older.length > 0) await Promise.allSettled(older.map((other) => other.ended));
      return body();
    };
    const entry = { ...name, abort, ended: run() };
    this.#running.add(entry);
    try {
      return await entry.ended;
    } finally {
      this.#running.delete(entry);
    }
  }
}

/** Of the same run, the same activity; of an earlier run, all. */
const supersedes = (newer: ActivityName, older: ActivityName): boolean =>
  newer.operation === older.operation && (newer.run !== older.run || newer.activity === older.activity);
