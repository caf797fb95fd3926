import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, tmpdir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Case, CaseResult } from './bench.ts';
import { Bench } from './bench.ts';
import { cleanup } from './cases/cleanup.ts';
import { firstBackupLarge, firstBackupSmall } from './cases/firstBackup.ts';
import { growth } from './cases/growth.ts';
import { restoreLarge, restoreSmall } from './cases/restore.ts';
import { slowStorage } from './cases/slowStorage.ts';
import { nothingChanged, unchangedMany, unchangedSmall } from './cases/unchanged.ts';
import { veryMany } from './cases/veryMany.ts';
import { figureOf, markdown, processesOf } from './report.ts';

/** In an order in which a case uses the repositories of the case before it. */
const cases: readonly Case[] = [
  firstBackupSmall,
  unchangedSmall,
  restoreSmall,
  firstBackupLarge,
  restoreLarge,
  growth,
  unchangedMany,
  slowStorage,
  nothingChanged,
  cleanup,
  veryMany,
];

const HELP = `npm run bench -- [case...] [options]

Cases: ${[...new Set(cases.map(({ id }) => id))].sort().join(' ')}; all without any. docs/benchmarks.md describes them.

  --scale 0.1       so much of the files and bytes (1)
  --runs 1          measure each thing so often; the median counts (3)
  --peers restic    of the tools that are installed, these (restic,rustic,borg)
  --minutes 40      begin nothing later than that, and repeat nothing
  --room DIRECTORY  for data, repositories and results (homarus-bench below the directory for temporary files)
  --resume          keep the results of a run that was stopped, and go on with the other cases
  --json            print the results as JSON
  --drop            remove the room at the end
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    scale: { type: 'string', default: '1' },
    runs: { type: 'string', default: '3' },
    peers: { type: 'string', default: 'restic,rustic,borg' },
    minutes: { type: 'string', default: '1000' },
    room: { type: 'string', default: join(tmpdir(), 'homarus-bench') },
    resume: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    drop: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

interface Results {
  when: string;
  machine: string;
  versions: string[];
  scale: number;
  runs: number;
  cases: Record<string, CaseResult>;
}

if (values.help) process.stdout.write(HELP);
else await main();

async function main(): Promise<void> {
  const wanted = cases.filter(({ id }) => positionals.length === 0 || positionals.includes(id));
  const unknown = positionals.filter((id) => !cases.some((one) => one.id === id));
  if (unknown.length > 0) throw new Error(`there is no case ${unknown.join(', ')}\n\n${HELP}`);
  const room = resolve(values.room);
  const [scale, runs, minutes] = [values.scale, values.runs, values.minutes].map(Number) as [number, number, number];
  mkdirSync(room, { recursive: true });
  const bench = new Bench({
    room,
    scale,
    runs,
    peers: values.peers.split(','),
    deadline: performance.now() + minutes * 60_000,
    note: (text) => process.stderr.write(`${text}\n`),
  });
  const resultsFile = join(room, 'results.json');
  const results: Results = {
    when: new Date().toISOString(),
    machine: `${availableParallelism()} processors (${cpus()[0]?.model}), ${Math.round(totalmem() / 1024 ** 3)} GiB, Linux ${release()}`,
    versions: bench.versions(),
    scale,
    runs,
    cases:
      values.resume && existsSync(resultsFile) ? (JSON.parse(readFileSync(resultsFile, 'utf8')) as Results).cases : {},
  };
  try {
    for (const one of wanted) {
      if (results.cases[one.title] !== undefined) continue;
      if (bench.late) {
        process.stderr.write(`${one.title}: left out, the time is over\n`);
        continue;
      }
      process.stderr.write(`${one.title}\n`);
      const result = await one.run(bench);
      results.cases[one.title] = result;
      writeFileSync(resultsFile, JSON.stringify(results, null, 2));
      const own = figureOf(result.figures, 'homarus');
      if (own) process.stderr.write(`  homarus by process: ${processesOf(own)}\n`);
      if (!values.json) process.stdout.write(`\n${markdown(one.title, result)}\n`);
    }
  } finally {
    await bench.close();
    if (values.drop) rmSync(room, { recursive: true, force: true });
  }
  if (values.json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
  else process.stdout.write(`${results.machine}\n${results.versions.join('\n')}\n`);
}
