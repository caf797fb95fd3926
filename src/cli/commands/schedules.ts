import { Option } from 'commander';
import type { ScheduleChange, ScheduleStatus } from '../../client/schedules.ts';
import type { Spec } from '../command.ts';
import { counted, table } from '../terminal.ts';

const apply: Spec<{ dryRun?: boolean }> = {
  usage: 'apply',
  summary: "Make Temporal's schedules of the cluster what the configuration says",
  details: 'Each coordinator does the same when it starts. A schedule that somebody paused stays paused.',
  options: [new Option('--dry-run', 'only say what would be done')],
  example: 'homarus schedules apply --dry-run',
  async run(context, { dryRun = false }) {
    const { applySchedules } = await import('../../client/schedules.ts');
    const { cluster, schedules } = await context.config();
    const changes = await applySchedules(await context.client(), cluster, schedules, { dryRun });
    return { result: { dryRun, changes }, text: describeChanges(changes, dryRun) };
  },
};

const list: Spec = {
  usage: 'list',
  summary: 'Show the schedules: when they run next, how they ended last, what was missed',
  example: 'homarus schedules list',
  async run(context) {
    const { listSchedules } = await import('../../client/schedules.ts');
    const { cluster, schedules } = await context.config();
    const known = schedules.map(({ name }) => name);
    const listed = await listSchedules(await context.client(), cluster, known);
    const absent = known.filter((name) => !listed.some((one) => one.name === name));
    if (absent.length > 0)
      context.output.note(`note: not in Temporal yet: ${absent.join(', ')}; "homarus schedules apply" puts them there`);
    return {
      result: { cluster, schedules: listed },
      text: listed.length > 0 ? scheduleTable(listed) : `cluster ${cluster} has no schedules`,
    };
  },
};

const noteOption = (): Option => new Option('--note <text>', 'why, for people');

const pause: Spec<{ note?: string }, [string]> = {
  usage: 'pause <name>',
  summary: 'Keep a schedule from starting anything, until it is resumed',
  options: [noteOption()],
  example: 'homarus schedules pause nightly --note "the storage moves"',
  async run(context, { note = '' }, name) {
    const { pauseSchedule } = await import('../../client/schedules.ts');
    const { cluster } = await context.config();
    await pauseSchedule(await context.client(), cluster, name, noteOf('paused', context.who, note));
    return { result: { schedule: name, paused: true }, text: `schedule ${name} is paused` };
  },
};

const resume: Spec<{ note?: string }, [string]> = {
  usage: 'resume <name>',
  summary: 'Let a paused schedule go on',
  options: [noteOption()],
  example: 'homarus schedules resume nightly',
  async run(context, { note = '' }, name) {
    const { resumeSchedule } = await import('../../client/schedules.ts');
    const { cluster } = await context.config();
    await resumeSchedule(await context.client(), cluster, name, noteOf('resumed', context.who, note));
    return { result: { schedule: name, paused: false }, text: `schedule ${name} goes on` };
  },
};

const trigger: Spec<object, [string]> = {
  usage: 'trigger <name>',
  summary: 'Start the operation of a schedule now, unless one of it runs',
  example: 'homarus schedules trigger nightly',
  async run(context, _, name) {
    const { triggerSchedule } = await import('../../client/schedules.ts');
    const { cluster } = await context.config();
    const operation = await triggerSchedule(await context.client(), cluster, name);
    const nothing = `schedule ${name} started nothing: its last operation still runs`;
    return { result: { schedule: name, operation }, text: operation ?? nothing };
  },
};

export const scheduleCommands = {
  name: 'schedules',
  summary: 'Show, apply, pause, resume and trigger schedules',
  commands: [list, apply, pause, resume, trigger],
};

const noteOf = (what: string, who: string, note: string): string => `${what} by ${who}${note && `: ${note}`}`;

function describeChanges(changes: readonly ScheduleChange[], dryRun: boolean): string {
  const made = changes.filter(({ change }) => change !== 'unchanged');
  const lines = made.map(({ name, change }) => `${name}: ${dryRun ? 'would be ' : ''}${change}`);
  const same = changes.length - made.length;
  if (same > 0 || made.length === 0) lines.push(`${counted(same, 'schedule')} as configured already`);
  return lines.join('\n');
}

function scheduleTable(listed: readonly ScheduleStatus[]): string {
  const rows = listed.map(({ name, operation, when, paused, note, next, last, running, missed }) => [
    name,
    operation,
    when,
    paused ? `paused${note && ` (${note})`}` : (next ?? 'never'),
    running.length > 0 ? `runs: ${running.join(', ')}` : last ? `${last.at}, ${last.state}` : 'never',
    String(missed),
  ]);
  const reasons = listed.flatMap(({ name, last }) => (last?.reason ? [`${name}: ${last.reason}`] : []));
  return [table(['schedule', 'operation', 'when', 'next', 'last', 'missed'], rows, [5]), ...reasons].join('\n');
}
