import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { Throttle } from '../../src/node/throttle.ts';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

test('what is sent waits until what was sent before has had its time', async () => {
  const { signal } = new AbortController();
  const throttle = new Throttle(1000, (ms) => new Promise<void>((resolve) => setTimeout(resolve, ms)));
  const taken: string[] = [];
  for (const name of ['first', 'second', 'third']) void throttle.take(500, signal).then(() => taken.push(name));
  await jest.advanceTimersByTimeAsync(0);
  expect(taken).toEqual(['first']);
  await jest.advanceTimersByTimeAsync(499);
  expect(taken).toEqual(['first']);
  await jest.advanceTimersByTimeAsync(1);
  expect(taken).toEqual(['first', 'second']);
  await jest.advanceTimersByTimeAsync(500);
  expect(taken).toEqual(['first', 'second', 'third']);
});
