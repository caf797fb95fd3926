import type { NodeHealth } from '../../client/health.ts';
import type { LockState } from '../../client/reading.ts';
import { isOverdue, lockState, newestFirst } from '../../client/reading.ts';
import type { ScheduleStatus } from '../../client/schedules.ts';
import type { BackupEntry } from '../../domain/documents.ts';
import { HomarusError } from '../../domain/errors.ts';
import { formatBytes, formatDuration } from '../../domain/text.ts';
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
  schedules: ScheduleStatus[] | null;
  /** The last complete backup is older than `backup.alertAfter`; null where that is not configured or not known. */
  overdue: boolean | null;
}

export const status: Spec<{ storage?: string }> = {
  usage: 'status',
  summary: 'Show nodes, the lock and its holder, the last backup, and what runs',
  details:
    'What can be seen is shown, though the storage or Temporal may not answer; then this fails with the reason. It fails, too, ' +
    'when the last complete backup is older than "backup.alertAfter" of the configuration.',
  options: [storageOption()],
  example: 'homarus status',
  async run(context, { storage }) {
    const [stored, live] = await Promise.allSettled([ofStorage(context, storage), ofTemporal(context)]);
    const config = await context.config();
    const report: Report = {
      cluster: config.cluster,
      storage: storage ?? config.defaultStorage,
      ...(stored.status === 'fulfilled' ? stored.value : { lock: null, lastBackup: null, overdue: null }),
      ...(live.status === 'fulfilled'
        ? live.value
        : { nodes: null, coordinators: null, operations: null, schedules: null }),
    };
    const answer = { result: report, text: describe(report) };
    for (const part of [stored, live]) if (part.status === 'rejected') throw new Failure(part.reason, answer);
    if (report.overdue) throw new Failure(overdue(report, config.backup.alertAfter ?? 0), answer);
    return answer;
  },
};

async function ofStorage(
  context: Context,
  storage: string | undefined,
): Promise<Pick<Report, 'lock' | 'lastBackup' | 'overdue'>> {
  const reading = await context.reading(storage);
  const { alertAfter } = (await context.config()).backup;
  return {
    lock: await lockState(reading),
    lastBackup: newestFirst(reading)[0] ?? null,
    overdue: alertAfter === undefined ? null : isOverdue(reading, alertAfter, context.now()),
  };
}

async function ofTemporal(
  context: Context,
): Promise<Pick<Report, 'nodes' | 'coordinators' | 'operations' | 'schedules'>> {
  const { coordinatorsOf, nodesOf, runningOperations } = await import('../../client/health.ts');
  const { listSchedules } = await import('../../client/schedules.ts');
  const { cluster, nodes, schedules: configured } = await context.config();
  const known = configured.map(({ name }) => name);
  const client = await context.client();
  const [alive, coordinators, operations, schedules] = await Promise.all([
    nodesOf(client, cluster, nodes, context.now()),
    coordinatorsOf(client, cluster, context.now()),
    runningOperations(client, cluster),
    listSchedules(client, cluster, known),
  ]);
  return { nodes: alive, coordinators, operations, schedules };
}

function describe({ cluster, storage, lock, lastBackup, nodes, coordinators, operations, schedules }: Report): string {
  const lines = [`cluster ${cluster}, storage ${storage}`];
  if (lock) lines.push(`lock: ${describeLock(lock)}`);
  if (lock) lines.push(`last backup: ${lastBackup ? describeBackup(lastBackup) : 'none'}`);
  if (coordinators !== null)
    lines.push(`coordinators at work: ${coordinators || 'none; start one with "homarus coordinator"'}`);
  if (operations !== null) lines.push(operations.length > 0 ? 'running:' : 'running: nothing');
  for (const { id, started, by } of operations ?? [])
    lines.push(`  ${id}, since ${started}${by && `, asked by ${by}`}`);
  for (const { name, operation, paused, next, missed } of schedules ?? []) {
    const when = paused ? 'paused' : `next ${next ?? 'never'}`;
    lines.push(`schedule ${name} (${operation}): ${when}${missed > 0 ? `, ${missed} missed` : ''}`);
  }
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

function overdue({ cluster, lastBackup }: Report, alertAfter: number): HomarusError {
  const last = lastBackup === null ? 'there is none' : `the last backup is ${lastBackup.name}`;
  return new HomarusError(
    'BackupOverdue',
    `cluster ${cluster} has no complete backup of the last ${formatDuration(alertAfter)} (backup.alertAfter): ${last}`,
  );
}
