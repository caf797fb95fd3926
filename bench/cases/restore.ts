import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench, Case, CaseResult } from '../bench.ts';
import type { Contender } from '../contender.ts';
import type { DataSet } from '../data.ts';
import { bytesBelow } from '../measure.ts';
import { fasterThan } from '../report.ts';
import { large, small } from './firstBackup.ts';

const FEW = 1_000;

/**
 * Restores into an empty directory; what came back must be as much as was there. Small files stay until the end: ext4 searches
 * long for an inode that was not deleted in the last minutes, and who comes next would pay for it.
 */
export async function restores(bench: Bench, data: DataSet, contenders: readonly Contender[]) {
  const room = join(bench.room, 'restored');
  const drop = (): void => rmSync(room, { recursive: true, force: true });
  let number = 0;
  drop();
  const figures = await bench.rounds(contenders, 'restore', async (contender) => {
    if (data.files < FEW) drop();
    const target = join(room, String(++number));
    mkdirSync(target, { recursive: true });
    return async () => {
      const measured = await contender.restore(target);
      const bytes = bytesBelow(target);
      if (bytes !== data.bytes) throw new Error(`${contender.name} restored ${bytes} bytes of ${data.bytes}`);
      return measured;
    };
  });
  drop();
  return figures;
}

async function restore(bench: Bench, data: DataSet, times: number): Promise<CaseResult> {
  const contenders = bench.contenders();
  await bench.holding(data, contenders);
  const figures = await restores(bench, data, contenders);
  return { figures, goals: fasterThan(figures, 'restic', times) };
}

export const restoreSmall: Case = {
  id: 'P5',
  title: 'P5: restore of 100,000 small files',
  run: (bench) =>
    restore(
      bench,
      small(bench.room, (count) => bench.scaled(count)),
      3,
    ),
};

export const restoreLarge: Case = {
  id: 'P5',
  title: 'P5: restore of 4 GiB in 64 files',
  run: (bench) =>
    restore(
      bench,
      large(bench.room, (count) => bench.scaled(count)),
      2,
    ),
};
