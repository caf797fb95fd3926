import { describe, expect, test } from '@jest/globals';
import type { ActivityName } from '../../src/activities/attempts.ts';
import { Attempts } from '../../src/activities/attempts.ts';

const name = (run: string, activity: string, operation = 'backup-1'): ActivityName => ({ operation, run, activity });

/** Work that ends when it is told to, a moment later, and says so. */
function begun(attempts: Attempts, called: ActivityName, events: string[], what: string) {
  const abort = new AbortController();
  const done = Promise.withResolvers<void>();
  const work = attempts.run(called, abort, async () => {
    events.push(`${what} begins`);
    abort.signal.addEventListener('abort', () => setImmediate(() => done.resolve()));
    await done.promise;
    events.push(`${what} ends`);
  });
  return { work, abort, end: () => done.resolve() };
}

describe('an activity that begins', () => {
  test.each([
    ['the former attempt of the same activity', name('run-1', '7'), name('run-1', '7')],
    ['what the run before a reset had begun', name('run-1', '12'), name('run-2', '7')],
  ])('stops %s and awaits its end', async (_, older, newer) => {
    const attempts = new Attempts();
    const events: string[] = [];
    const first = begun(attempts, older, events, 'older');
    const second = begun(attempts, newer, events, 'newer');
    await first.work;
    second.end();
    await second.work;
    expect(events).toEqual(['older begins', 'older ends', 'newer begins', 'newer ends']);
  });

  test.each([
    ['other activities of its run', name('run-1', '8')],
    ['those of other operations', name('run-9', '7', 'backup-2')],
  ])('leaves %s alone', async (_, other) => {
    const attempts = new Attempts();
    const events: string[] = [];
    const first = begun(attempts, name('run-1', '7'), events, 'first');
    const second = begun(attempts, other, events, 'second');
    expect(first.abort.signal.aborted).toBe(false);
    for (const { end, work } of [first, second]) {
      end();
      await work;
    }
    expect(events.slice(0, 2)).toEqual(['first begins', 'second begins']);
  });
});
