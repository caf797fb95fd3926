import type { JobContext } from '../../src/node/job.ts';
import { WorkPool } from '../../src/node/pool.ts';
import { StopFlag } from '../../src/node/threads.ts';

/** What a job needs, in the test's own thread, with a real pool. `stop` stops it, `lose` lets its lease run out. */
export function givenContext(threads = 2): {
  context: JobContext;
  warnings: string[];
  stop(): void;
  lose(): void;
  close(): Promise<void>;
} {
  const flag = new StopFlag();
  const controller = new AbortController();
  const pool = new WorkPool({ threads, signal: controller.signal, stop: flag });
  const warnings: string[] = [];
  return {
    warnings,
    context: {
      signal: controller.signal,
      throwIfLost: () => flag.throwIfLost(),
      throwIfStopped: () => flag.throwIfStopped(),
      progress: { filesDone: 0, filesTotal: 0, bytesDone: 0, bytesTotal: 0 },
      at: () => undefined,
      warn: (message) => warnings.push(message),
      pool,
    },
    lose: () => flag.lostAt(0),
    stop() {
      flag.stop();
      controller.abort();
    },
    close: () => pool.close(),
  };
}
