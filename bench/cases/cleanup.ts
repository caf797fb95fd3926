import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Case, Figure } from '../bench.ts';
import { settle } from '../bench.ts';
import { manyFiles, rewriteHalf } from '../data.ts';
import { fasterThan } from '../report.ts';

const BACKUPS = 100;
const KEPT = 50;
/** Half of them change between two backups: 1,000,000 chunks in all. */
const FILES = 20_000;

export const cleanup: Case = {
  id: 'P6',
  title: 'P6: cleanup of half of 100 backups, 1,000,000 chunks',
  async run(bench) {
    const room = join(bench.room, 'cleanup');
    rmSync(room, { recursive: true, force: true });
    const data = manyFiles(room, bench.scaled(FILES));
    const contenders = bench.contenders(
      { room },
      bench.options.peers.filter((peer) => peer !== 'borg'),
    );
    try {
      for (const contender of contenders) await contender.begin(data.directory);
      for (let round = 1; round <= BACKUPS; round++) {
        rewriteHalf(data, round);
        for (const contender of contenders) await contender.backup();
        if (round % 10 === 0) bench.options.note(`  ${round} of ${BACKUPS} backups are there`);
      }
      const figures: Figure[] = [];
      // Once: what is removed is gone.
      for (const contender of contenders) {
        settle();
        const measured = await contender.keepNewest(KEPT);
        bench.options.note(`  ${contender.name}: cleanup: ${measured.seconds.toFixed(2)} s`);
        figures.push({ what: 'cleanup', who: contender.name, runs: [measured], stored: contender.stored() });
      }
      return { figures, goals: fasterThan(figures, 'restic', 5) };
    } finally {
      await bench.closeIn(room);
      rmSync(room, { recursive: true, force: true });
    }
  },
};
