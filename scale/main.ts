import { parseArgs } from 'node:util';
import { formatBytes } from '../src/domain/text.ts';
import { type Cancelled, type Cost, ScaleCluster } from './scale.ts';

const HELP = `npm run scale -- [options]

One backup over many nodes with a real Temporal, and one that is cancelled: time, history, payloads, memory. Nodes are light:
many in one process. docs/sizing.md has the figures and says what they mean.

  --nodes 10,50,200   clusters of so many nodes, one after another (10,50,200)
  --json              print the figures as JSON
`;

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '10,50,200' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(HELP);
else await main();

async function main(): Promise<void> {
  const counts = values.nodes.split(',').map(Number);
  if (!counts.every((count) => Number.isInteger(count) && count > 0)) throw new Error(`numbers are wanted\n\n${HELP}`);
  const figures: { first: Cost; next: Cost; cancelled: Cancelled }[] = [];
  for (const count of counts) {
    process.stderr.write(`${count} nodes\n`);
    const cluster = await ScaleCluster.start(count);
    try {
      const first = await cluster.backup();
      const next = await cluster.backup();
      const cancelled = await cluster.cancel();
      figures.push({ first, next, cancelled });
      // At once: a larger cluster may fail.
      if (!values.json) process.stdout.write(text(first, next, cancelled));
    } finally {
      await cluster.stop();
    }
  }
  if (values.json) process.stdout.write(`${JSON.stringify(figures)}\n`);
}

function text(first: Cost, next: Cost, cancelled: Cancelled): string {
  return `${first.nodes} nodes
  backup             ${seconds(first.time)}, the next one ${seconds(next.time)}
  cancelled          in ${seconds(cancelled.time)}, ${cancelled.events} events
  history            ${next.events} events, ${formatBytes(next.historyBytes)}
  largest event      ${formatBytes(next.largestEvent)}, payload ${formatBytes(next.largestPayload)}
  pending activities ${next.pendingActivities}
  memory             coordinator ${formatBytes(next.coordinatorMemory)}, Temporal ${formatBytes(next.temporalMemory)}
  Temporal           ${seconds(next.temporalCpu)} of processor time
`;
}
