import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { asyncLocalStorage, CompleteAsyncError, type Context } from '@temporalio/activity';
import type { Connection } from '@temporalio/client';
import { Liveness } from '../../src/activities/liveness.ts';

/**
 * What an activity learns from the answers to its heartbeats, and from their absence. The SDK has time-outs of its own, so
 * that on real processes nobody sees which of the two has stopped the work: here it has none.
 */

interface Answer {
  cancelRequested?: boolean;
  activityPaused?: boolean;
  activityReset?: boolean;
}

/** ms */
const MAX_SILENCE = 100;
let answer: () => Promise<Answer>;
let beats: number;
let cancelled: number;
let ends: AbortController;

beforeEach(() => {
  beats = 0;
  cancelled = 0;
  ends = new AbortController();
});
// Whatever a test has not stopped.
afterEach(() => ends.abort());

/** Runs `body` as an activity whose heartbeats `answer` answers. */
function run<T>(body: (signal: AbortSignal) => Promise<T>, maxSilenceMs = MAX_SILENCE): Promise<T> {
  const acks = {
    withDeadline: (_: number, call: () => unknown) => call(),
    workflowService: {
      recordActivityTaskHeartbeat() {
        beats++;
        return answer();
      },
    },
  } as unknown as Connection;
  const context = {
    info: { activityId: '1', base64TaskToken: 'dG9rZW4=', taskToken: new Uint8Array(), workflowExecution: undefined },
    cancellationSignal: ends.signal,
    heartbeat: () => undefined,
    client: { activity: { reportCancellation: async () => void cancelled++ } },
  } as unknown as Context;
  const liveness = new Liveness({
    ...{ fields: {}, acks, namespace: 'default', identity: 'test', directory: '/nowhere' },
    ...{ everyMs: 5, maxSilenceMs },
  });
  return asyncLocalStorage.run(context, () => liveness.run(() => ({}), body));
}

/** Work without an end of its own. */
const untilStopped = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });

const unavailable = async (): Promise<never> => {
  throw Object.assign(new Error('connection refused'), { code: 14 });
};

describe('work whose heartbeats are answered', () => {
  test('goes on, for however long', async () => {
    answer = async () => ({});
    const began = performance.now();
    const enough = async (signal: AbortSignal): Promise<string> => {
      while (beats < 3 || performance.now() - began < 2 * MAX_SILENCE) {
        signal.throwIfAborted();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      return 'done';
    };
    await expect(run(enough)).resolves.toBe('done');
  });

  test('with a cancellation is stopped, and ends as cancelled though the SDK has not heard of it', async () => {
    answer = async () => ({ cancelRequested: true });
    await expect(run(untilStopped)).rejects.toBeInstanceOf(CompleteAsyncError);
    expect(cancelled).toBe(1);
  });

  test.each(['activityPaused', 'activityReset'])('with %s is stopped, to be tried again', async (what) => {
    answer = async () => ({ [what]: true });
    await expect(run(untilStopped)).rejects.toMatchObject({ type: 'WorkerRestarted', nonRetryable: false });
  });

  test('by a server that knows it no more is stopped, and answers nobody', async () => {
    answer = async () => {
      throw Object.assign(new Error('not found'), { code: 5 });
    };
    // By the answer: silence would take longer.
    await expect(run(untilStopped, 60_000)).rejects.toBeInstanceOf(CompleteAsyncError);
    expect(cancelled).toBe(0);
  });
});

test('work whose heartbeats nobody answers stops by itself, to be tried again', async () => {
  answer = unavailable;
  await expect(run(untilStopped)).rejects.toMatchObject({
    type: 'WorkerRestarted',
    nonRetryable: false,
    message: expect.stringMatching(/^Temporal did not answer for \d+ s$/),
  });
});

test('work whose heartbeats are answered now and then goes on', async () => {
  answer = async () => (beats % 2 === 0 ? {} : unavailable());
  const enough = async (signal: AbortSignal): Promise<void> => {
    while (beats < 10) {
      signal.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  await run(enough, 60_000);
});
