import { parseArgs } from 'node:util';
import { Chaos, type Report } from './chaos.ts';

const HELP = `npm run chaos -- [options]

A cluster of real processes backs up, cleans up and restores while everything happens to it that can happen, and a model
knows what must come of it. docs/chaos.md says what is done and what is looked at. The same seed does the same.

  --seed 7       of files, operations, faults and their moments (1)
  --minutes 10   begin no cycle later than that (5)
  --cycles 3     no more cycles than that
  --cycle 4      only this cycle of the seed, to see again what went wrong in it
  --nodes 5      (3)
  --json         print the report as JSON; what happens, on stderr, as ever
  --keep         leave the cluster's directory: logs, storage, roots
`;

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '5' },
    cycles: { type: 'string', default: '1000000' },
    cycle: { type: 'string' },
    nodes: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(HELP);
else await main();

async function main(): Promise<void> {
  const [seed, minutes, cycles, nodes] = [values.seed, values.minutes, values.cycles, values.nodes].map(Number) as [
    number,
    number,
    number,
    number,
  ];
  const only = values.cycle === undefined ? undefined : Number(values.cycle);
  if ([seed, minutes, cycles, nodes, only ?? 1].some((number) => !(number >= 0)))
    throw new Error(`numbers are wanted\n\n${HELP}`);
  if (values.keep) process.env.HOMARUS_KEEP = '1';
  const until = performance.now() + minutes * 60_000;
  const chaos = await Chaos.start({ seed, nodes, note: (line) => process.stderr.write(`${line}\n`) });
  const { report } = chaos;
  try {
    const [first, last] = only === undefined ? [1, cycles] : [only, only];
    for (let number = first; number <= last && performance.now() < until; number++) {
      await chaos.cycle(number);
      // What comes after a violation says little.
      if (report.violations.length > 0) break;
    }
    await chaos.everything();
  } finally {
    if (report.violations.length > 0) {
      process.env.HOMARUS_KEEP = '1';
      process.stderr.write(`the cluster is left in ${chaos.directory}\n`);
    }
    await chaos.stop();
  }
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : text(report));
  if (report.violations.length > 0) process.exitCode = 1;
}

function text({ seed, cycles, faults, ends, restarts, violations }: Report): string {
  const counts = (of: Record<string, number>): string =>
    Object.entries(of)
      .sort()
      .map(([what, count]) => `  ${String(count).padStart(4)}  ${what}\n`)
      .join('');
  const all = Object.values(faults).reduce((sum, count) => sum + count, 0);
  const found = violations.map(({ cycle, what }) => `  cycle ${cycle}: ${what}\n`).join('');
  return `seed ${seed}, ${cycles} cycles, ${all} faults
${counts(faults)}ends of the operations
${counts(ends)}${restarts} processes ended by themselves and were started again
${violations.length} violations
${found}`;
}
