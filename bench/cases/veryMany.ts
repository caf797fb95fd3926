import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Case, Figure } from '../bench.ts';
import { manyFiles } from '../data.ts';
import type { Measured } from '../measure.ts';
import { atMost } from '../report.ts';

const MIB = 1024 ** 2;
const FILES = 1_000_000;
/** The node has so many roots, each a link to the same files: a file system need not have inodes for all. */
const ROOTS = 10;
/** 11 of the 100 directories of each root. */
const NINTH = 'part-1*';

export const veryMany: Case = {
  id: 'P8',
  title: 'P8: memory with 10,000,000 files on one node',
  async run(bench) {
    const data = manyFiles(bench.room, bench.scaled(FILES));
    const room = join(bench.room, 'very-many');
    rmSync(room, { recursive: true, force: true });
    mkdirSync(join(room, 'roots'), { recursive: true });
    const roots = Array.from({ length: ROOTS }, (_, place) => {
      const path = join(room, 'roots', `r${place}`);
      symlinkSync(data.directory, path);
      return { name: `r${place}`, path, linkDir: join(room, 'links', `r${place}`) };
    });
    const homarus = bench.homarus({ room }, { config: { nodes: [{ id: 'n1', roots }] } });
    const figures: Figure[] = [];
    const once = async (what: string, work: Promise<Measured>): Promise<void> => {
      const measured = await work;
      bench.options.note(`  homarus: ${what}: ${measured.seconds.toFixed(2)} s`);
      figures.push({ what, who: 'homarus', runs: [measured], stored: homarus.stored() });
    };
    const to = join(room, 'restored');
    try {
      await homarus.begin(data.directory);
      await once('first backup', homarus.backup());
      await once('unchanged backup', homarus.backup());
      await once('restore, planned', homarus.preview(to));
      await once('restore of a ninth', homarus.restore(to, NINTH));
      await once('cleanup', homarus.keepNewest(1));
    } finally {
      await homarus.close();
      rmSync(room, { recursive: true, force: true });
    }
    return {
      figures,
      goals: figures.map(({ what, runs: [measured] }) =>
        atMost(`${what}: every process`, (measured as Measured).peak / MIB, 512, 'MiB'),
      ),
    };
  },
};
