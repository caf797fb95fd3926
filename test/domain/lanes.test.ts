import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { inLanes } from '../../src/domain/lanes.ts';

test('of many jobs so many run at a time, begun in their order, and all have ended when it has', async () => {
  const given = fc.record({
    atOnce: fc.integer({ min: 1, max: 6 }),
    ends: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 20 }),
  });
  await fc.assert(
    fc.asyncProperty(given, async ({ atOnce, ends }) => {
      const begun: number[] = [];
      let running = 0;
      let most = 0;
      const all = inLanes(
        atOnce,
        ends.map((turns, job) => async () => {
          begun.push(job);
          most = Math.max(most, ++running);
          for (let turn = 0; turn < turns; turn++) await Promise.resolve();
          running--;
        }),
      );
      expect(begun.slice(0, atOnce)).toEqual([...ends.keys()].slice(0, atOnce));
      await all;
      expect(begun).toEqual([...ends.keys()]);
      expect(running).toBe(0);
      expect(most).toBeLessThanOrEqual(atOnce);
    }),
  );
});
