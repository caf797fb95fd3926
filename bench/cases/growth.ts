import type { Case, Figure } from '../bench.ts';
import { settle } from '../bench.ts';
import { grow } from '../data.ts';
import { atMost } from '../report.ts';
import { large } from './firstBackup.ts';

const MIB = 1024 ** 2;
const PER_FILE = 128 * 1024;
/** Once, and again ten times. */
const ROUNDS = 11;

export const growth: Case = {
  id: 'P4',
  title: 'P4: 1 % appended to each of 64 files, 11 times',
  async run(bench) {
    const scaled = (count: number) => bench.scaled(count);
    const data = large(bench.room, scaled);
    const contenders = bench.contenders(undefined, ['restic', 'rustic']);
    await bench.holding(data, contenders);
    const appended = Math.round(data.bytes / data.files / 100);
    const figures: Figure[] = contenders.map(({ name }) => ({ what: 'backup of the growth', who: name, runs: [] }));
    const before = contenders.map((contender) => contender.stored());
    let worst = 0;
    for (let round = 1; round <= ROUNDS; round++) {
      grow(data, round, appended);
      for (const [place, contender] of contenders.entries()) {
        const had = contender.stored();
        settle();
        const measured = await contender.backup();
        bench.options.note(`  ${contender.name}: growth ${round}: ${measured.seconds.toFixed(2)} s`);
        figures[place]?.runs.push(measured);
        if (place === 0) worst = Math.max(worst, contender.stored() - had);
      }
    }
    for (const [place, contender] of contenders.entries())
      (figures[place] as Figure).stored = contender.stored() - (before[place] as number);
    bench.forget();
    // Cuts off what was appended.
    large(bench.room, scaled);
    const allowed = (2 * appended * data.files + PER_FILE * data.files) / MIB;
    const all = (figures[0] as Figure).stored as number;
    return {
      figures,
      goals: [
        atMost('stored in all rounds, twice the growth and 128 KiB a file', all / MIB, ROUNDS * allowed, 'MiB'),
        // All files are alike, so that the pieces of all ends are joined in one round.
        atMost('in the round that stored most', worst / MIB, allowed, 'MiB'),
      ],
    };
  },
};
