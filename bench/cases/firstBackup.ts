import type { Case } from '../bench.ts';
import { largeFiles, smallFiles } from '../data.ts';
import { copyAndHashFloor, copyFloor } from '../floors.ts';
import { atMost, fasterThan, figureOf, timesFaster } from '../report.ts';

const GIB = 1024 ** 3;
const LARGE_FILES = 64;

/** The data sets that several cases use. */
export const small = (room: string, scaled: (count: number) => number) => smallFiles(room, scaled(100_000));
export const large = (room: string, scaled: (count: number) => number) =>
  largeFiles(room, LARGE_FILES, scaled((4 * GIB) / LARGE_FILES));

export const firstBackupSmall: Case = {
  id: 'P1',
  title: 'P1: first backup of 100,000 small files',
  async run(bench) {
    const data = small(bench.room, (count) => bench.scaled(count));
    const figures = await bench.firstBackups(data, bench.contenders());
    const floors = await bench.rounds(
      [{ name: 'cp and sync' }],
      'first backup',
      async () => () => copyFloor(bench.room, data.directory),
    );
    const [own, restic] = [figureOf(figures, 'homarus'), figureOf(figures, 'restic')];
    const MIB = 1024 ** 2;
    return {
      figures: [...figures, ...floors],
      goals: [
        ...fasterThan(figures, 'restic', 2.5),
        ...(own && restic ? [atMost('stored, as restic', own.stored! / MIB, restic.stored! / MIB, 'MiB')] : []),
      ],
    };
  },
};

export const firstBackupLarge: Case = {
  id: 'P2',
  title: 'P2: first backup of 4 GiB in 64 files',
  async run(bench) {
    const data = large(bench.room, (count) => bench.scaled(count));
    const figures = await bench.firstBackups(data, bench.contenders());
    const [floor] = await bench.rounds(
      [{ name: 'copy and hash' }],
      'first backup',
      async () => () => copyAndHashFloor(bench.room, data.directory),
    );
    const own = figureOf(figures, 'homarus')!;
    const speed = timesFaster(own, floor!);
    return {
      figures: [...figures, floor!],
      goals: [
        ...fasterThan(figures, 'restic', 2),
        { goal: 'at least 0.7 of the speed of copying and hashing', reached: speed.toFixed(2), met: speed >= 0.7 },
      ],
    };
  },
};
