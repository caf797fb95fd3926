import type { NodeHealth } from '../../client/health.ts';
import type { LockState } from '../../client/reading.ts';
import { lockState, newestFirst } from '../../client/reading.ts';
import type { BackupEntry } from '../../domain/documents.ts';
import { formatBytes } from '../../domain/text.ts';
import type { Spec } from '../command.ts';
import type { Context } from '../context.ts';
import { storageOption } from '../options.ts';
import { Failure } from '../output.ts';
import { table } from '../terminal.ts';

interface Report {
  cluster: string;
  storage: string;
  lock: LockState | null;
  lastBackup: BackupEntry | null;
  nodes: NodeHealth[] | null;
  coordinators: number | null;
  operations: { id: string; kind: string; started: string; by: string }[] | null;
}

export const status: Spec<{ storage?: string }> = {
  usage: 'status',
  summary: 'Show nodes, the lock and its holder, the last backup, and what runs',
  details: 'What can be seen is shown, though the storage or Temporal may not answer; then this fails with the reason.',
  options: [storageOption()],
  example: 'homarus status',
  async run(context, { storage }) {
    const [stored, live] = await Promise.allSettled([ofStorage(context, storage), ofTemporal(context)]);
    const config = await context.config();
    const report: Report = {
      cluster: config.cluster,
      storage: storage ?? config.defaultStorage,
      ...(stored.status === 'fulfilled' ? stored.value : { lock: null, lastBackup: null }),
      ...(live.status === 'fulfilled' ? live.value : { nodes: null, coordinators: null, operations: null }),
    };
    const answer = { result: report, text: describe(report) };
    for (const part of [stored, live]) if (part.status === 'rejected') throw new Failure(part.reason, answer);
    return answer;
  },
};

async function ofStorage(context: Context, storage: string | undefined): Promise<Pick<Report, 'lock' | 'lastBackup'>> {
  const reading = await context.reading(storage);
  return { lock: await lockState(reading), lastBackup: newestFirst(reading)[0] ?? null };
}

async function ofTemporal(context: Context): Promise<Pick<Report, 'nodes' | 'coordinators' | 'operations'>> {
  const { coordinatorsOf, nodesOf, runningOperations } = await import('../../client/health.ts');
  const { cluster, nodes } = await context.config();
  const client = await context.client();
  const [alive, coordinators, operations] = await Promise.all([
    nodesOf(client, cluster, nodes, context.now()),
    coordinatorsOf(client, cluster, context.now()),
    runningOperations(client, cluster),
  ]);
  return { nodes: alive, coordinators, operations };
}

function describe({ cluster, storage, lock, lastBackup, nodes, coordinators, operations }: Report): string {
  const lines = [`cluster ${cluster}, storage ${storage}`];
  if (lock) lines.push(`lock: ${describeLock(lock)}`);
  if (lock) lines.push(`last backup: ${lastBackup ? describeBackup(lastBackup) : 'none'}`);
  if (coordinators !== null)
    lines.push(`coordinators at work: ${coordinators || 'none; start one with "homarus coordinator"'}`);
  if (operations !== null) lines.push(operations.length > 0 ? 'running:' : 'running: nothing');
  for (const { id, started, by } of operations ?? [])
    lines.push(`  ${id}, since ${started}${by && `, asked by ${by}`}`);
  if (nodes !== null) {
    const rows = nodes.map(({ node, az, alive, lastSeen, worker }) => [
      node,
      az,
      alive ? 'alive' : 'no worker',
      lastSeen ?? 'not of late',
      worker ?? '',
    ]);
    lines.push('', table(['node', 'az', 'state', 'last seen', 'worker'], rows));
  }
  return lines.join('\n');
}

function describeLock({ holder, expired }: LockState): string {
  if (holder === null) return 'free';
  const held = `${holder.kind} ${holder.operation} (by ${holder.by}), since ${holder.since}`;
  return expired ? `free: ${held}, has run out` : `held by ${held}`;
}

const describeBackup = ({ name, label, files, bytes }: BackupEntry): string =>
  `${name}${label && ` "${label}"`}, ${files} files, ${formatBytes(bytes)}`;
