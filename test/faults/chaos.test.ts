import { expect, test } from '@jest/globals';
import { Chaos } from '../../chaos/chaos.ts';
import { PATIENCE } from '../support/faults.ts';

/** One cycle of `npm run chaos`; docs/chaos.md has the record of the long runs. */

const SEED = 25;

test(
  'whatever happens to a cluster at once, its backups are those that the model knows, whole, and nothing is left over',
  async () => {
    const lines: string[] = [];
    const chaos = await Chaos.start({ seed: SEED, note: (line) => lines.push(line) });
    try {
      await chaos.cycle(1);
      await chaos.everything();
    } finally {
      await chaos.stop();
    }
    const { violations, faults } = chaos.report;
    if (violations.length > 0) throw new Error(`${JSON.stringify(violations, null, 2)}\n${lines.join('\n')}`);
    expect(Object.keys(faults).length).toBeGreaterThan(0);
  },
  2 * PATIENCE,
);
