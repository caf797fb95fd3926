import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench, Case, CaseResult } from '../bench.ts';
import type { DataSet } from '../data.ts';
import { manyFiles, smallFiles } from '../data.ts';
import { walkFloor } from '../floors.ts';
import { atMost, fasterThan, figureOf, secondsOf } from '../report.ts';
import { small } from './firstBackup.ts';

async function unchanged(bench: Bench, data: DataSet, peers?: readonly string[]): Promise<CaseResult> {
  const contenders = bench.contenders(undefined, peers);
  await bench.holding(data, contenders);
  const figures = await bench.rounds(contenders, 'unchanged backup', async (contender) => () => contender.backup());
  const [floor] = await bench.rounds(
    [{ name: 'walk with lstat' }],
    'unchanged backup',
    async () => () => walkFloor(bench.room, data.directory),
  );
  return {
    figures: [...figures, floor!],
    goals: [
      ...fasterThan(figures, 'restic', 5),
      atMost('twice the walk and 1 s', secondsOf(figureOf(figures, 'homarus')!), 2 * secondsOf(floor!) + 1, 's'),
    ],
  };
}

export const unchangedSmall: Case = {
  id: 'P3',
  title: 'P3: unchanged backup of 100,000 files',
  run: (bench) =>
    unchanged(
      bench,
      small(bench.room, (count) => bench.scaled(count)),
    ),
};

export const unchangedMany: Case = {
  id: 'P3',
  title: 'P3: unchanged backup of 1,000,000 files',
  // Others need too long for the first backup.
  run: (bench) => unchanged(bench, manyFiles(bench.room, bench.scaled(1_000_000)), ['restic', 'rustic']),
};

const NODES = 3;
const FILES_PER_NODE = 1_000;

export const nothingChanged: Case = {
  id: 'P9',
  title: 'P9: nothing changed on 3 nodes',
  async run(bench) {
    const room = join(bench.room, 'nodes');
    const homarus = bench.homarus({ room: join(bench.room, 'three') }, { nodes: NODES });
    mkdirSync(room, { recursive: true });
    for (let node = 1; node <= NODES; node++) smallFiles(room, FILES_PER_NODE, `n${node}`);
    await homarus.begin(join(room, 'data'));
    await homarus.backup();
    const figures = await bench.rounds([homarus], 'unchanged backup', async () => () => homarus.backup(), 5);
    await homarus.close();
    return { figures, goals: [atMost('from command to done', secondsOf(figures[0]!), 1.5, 's')] };
  },
};
