import { expect, test } from '@jest/globals';
import type { RetryOptions } from '../../src/storage/retry.ts';
import { withRetries } from '../../src/storage/retry.ts';

/** Longer than the test: whatever ends a request here is what the test does. */
const LONG = 600_000;
const options: RetryOptions = { retryFor: LONG, stall: LONG };

test('a request that is under way ends when its caller gives it up, and is not repeated', async () => {
  const caller = new AbortController();
  const why = new Error('enough');
  let tries = 0;
  const request = ({ signal }: { signal: AbortSignal }): Promise<never> => {
    tries++;
    queueMicrotask(() => caller.abort(why));
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  };
  await expect(withRetries({ ...options, signal: caller.signal }, () => true, request)).rejects.toBe(why);
  expect(tries).toBe(1);
});
