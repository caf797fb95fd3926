import { createHash } from 'node:crypto';
import type { Client, ScheduleDescription, ScheduleHandle, ScheduleOptions } from '@temporalio/client';
import { ScheduleAlreadyRunning, ScheduleNotFoundError, ScheduleOverlapPolicy } from '@temporalio/client';
import { coordinatorQueue } from '../domain/cluster.ts';
import { HomarusError, hasCode } from '../domain/errors.ts';
import { whySkipped } from '../domain/results.ts';
import type { ScheduleDefinition } from '../domain/schedules.ts';
import { bySchedule, describeTimes, scheduledIds, scheduleId } from '../domain/schedules.ts';
import type { OperationState } from './progress.ts';
import { operationStatus } from './progress.ts';
import { attributesOf, withAttributes } from './searchAttributes.ts';

/** The schedules of the configuration as Temporal Schedules. Ours are known by their memo; a human's pause is kept. */

export interface ScheduleChange {
  name: string;
  change: 'created' | 'changed' | 'removed' | 'unchanged';
}

/** In the memo of the schedule, which cannot be changed, and of what it starts, which can. */
interface ScheduleMemo {
  cluster: string;
  schedule: string;
}
interface ActionMemo extends ScheduleMemo {
  kind: string;
  by: string;
  /** For people. */
  when: string;
  /** Of the definition. */
  digest: string;
}

/**
 * Makes Temporal's schedules of the cluster what the configuration says: creates, changes, and removes those that it has no
 * more. With `dryRun` it only says so.
 */
export async function applySchedules(
  client: Client,
  cluster: string,
  wanted: readonly ScheduleDefinition[],
  { dryRun = false }: { dryRun?: boolean } = {},
): Promise<ScheduleChange[]> {
  const changes: ScheduleChange[] = [];
  for (const definition of wanted) {
    changes.push({ name: definition.name, change: await applyOne(client, cluster, definition, dryRun) });
  }
  for (const { id, name } of await ours(client, cluster)) {
    if (wanted.some((definition) => definition.name === name)) continue;
    const handle = client.schedule.getHandle(id);
    // Temporal's list may show it for a while after its end.
    if ((await found(handle)) === undefined) continue;
    if (!dryRun) await handle.delete().catch(ifNotGone);
    changes.push({ name, change: 'removed' });
  }
  return changes;
}

async function applyOne(
  client: Client,
  cluster: string,
  definition: ScheduleDefinition,
  dryRun: boolean,
): Promise<ScheduleChange['change']> {
  const scheduled = optionsOf(cluster, definition);
  const handle = client.schedule.getHandle(scheduled.scheduleId);
  const known = await found(handle);
  if (known === undefined) {
    if (dryRun || (await create(client, scheduled))) return 'created';
  } else {
    refuseForeign(known, cluster);
    if (memoOf(known)?.digest === digestOf(definition)) return 'unchanged';
  }
  if (!dryRun) {
    // The whole schedule is replaced, but for who paused it and why.
    await withAttributes(attributesOf(cluster, definition.operation), (attributes) =>
      handle.update(({ state }) => ({
        spec: scheduled.spec,
        policies: scheduled.policies,
        action: { ...scheduled.action, ...attributes },
        state,
      })),
    );
  }
  return 'changed';
}

/** False when another coordinator was faster. */
async function create(client: Client, scheduled: ReturnType<typeof optionsOf>): Promise<boolean> {
  const { cluster, kind } = scheduled.action.memo.homarus;
  try {
    await withAttributes(attributesOf(cluster, kind), (attributes) =>
      client.schedule.create({ ...scheduled, action: { ...scheduled.action, ...attributes } }),
    );
    return true;
  } catch (error) {
    if (error instanceof ScheduleAlreadyRunning) return false;
    throw error;
  }
}

function optionsOf(cluster: string, definition: ScheduleDefinition) {
  const { name, operation, request, times, timeZone, jitter, catchUp } = definition;
  const by = bySchedule(name);
  const memo: ActionMemo = {
    ...{ cluster, schedule: name, kind: operation, by },
    ...{ when: describeTimes(definition), digest: digestOf(definition) },
  };
  return {
    scheduleId: scheduleId(cluster, name),
    memo: { homarus: { cluster, schedule: name } satisfies ScheduleMemo },
    spec: {
      ...('cron' in times ? { cronExpressions: [times.cron] } : { intervals: [{ every: times.every }] }),
      timezone: timeZone,
      ...(jitter > 0 ? { jitter } : {}),
    },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: catchUp, pauseOnFailure: false },
    action: {
      type: 'startWorkflow',
      workflowType: operation,
      workflowId: scheduledIds(cluster, definition),
      taskQueue: coordinatorQueue(cluster),
      args: [cluster, { ...request, by, skipIfLocked: true }],
      memo: { homarus: memo },
      staticSummary: `${operation}, cluster ${cluster}, by ${by}`,
    },
  } satisfies ScheduleOptions;
}

const digestOf = (definition: ScheduleDefinition): string =>
  createHash('sha256').update(JSON.stringify(definition)).digest('hex').slice(0, 16);

/** Somebody else may have taken the id. */
function refuseForeign(known: ScheduleDescription, cluster: string): void {
  if ((known.memo?.homarus as ScheduleMemo | undefined)?.cluster === cluster) return;
  throw new HomarusError('BadInput', `Temporal has a schedule ${known.scheduleId} that is not of cluster ${cluster}`, {
    hint: 'Remove it with "temporal schedule delete", or give the schedule of the configuration another name.',
  });
}

async function ours(client: Client, cluster: string): Promise<{ id: string; name: string }[]> {
  const found: { id: string; name: string }[] = [];
  for await (const { scheduleId: id, memo } of client.schedule.list()) {
    const { cluster: owner, schedule } = (memo?.homarus ?? {}) as Partial<ScheduleMemo>;
    if (owner === cluster && schedule !== undefined) found.push({ id, name: schedule });
  }
  return found;
}

export interface ScheduleStatus {
  name: string;
  operation: string;
  /** For people, e.g. `30 3 * * * (Europe/Berlin)`. */
  when: string;
  paused: boolean;
  /** Who paused it and why. */
  note: string;
  /** ISO 8601; null when none is to come. */
  next: string | null;
  last: { operation: string; at: string; state: OperationState | 'skipped' | 'unknown'; reason?: string } | null;
  /** Ids of operations that it started and that run. */
  running: string[];
  /** Starts that were due while Temporal was down, for longer than they are made up for. */
  missed: number;
  /** Starts that were left out because the one before still ran. */
  overlapped: number;
}

/** The schedules of a cluster as Temporal has them; `known` are there though its list may not show them yet. */
export async function listSchedules(
  client: Client,
  cluster: string,
  known: readonly string[] = [],
): Promise<ScheduleStatus[]> {
  const names = new Set([...known, ...(await ours(client, cluster)).map(({ name }) => name)]);
  const listed = await Promise.all([...names].sort().map((name) => statusOf(client, cluster, name)));
  return listed.filter((one) => one !== undefined);
}

async function statusOf(client: Client, cluster: string, name: string): Promise<ScheduleStatus | undefined> {
  const description = await found(client.schedule.getHandle(scheduleId(cluster, name)));
  if (description === undefined) return undefined;
  const { state, info, action } = description;
  const { kind = action.workflowType, when = '' } = memoOf(description) ?? {};
  return {
    name,
    operation: kind,
    when,
    paused: state.paused,
    note: state.note ?? '',
    next: state.paused ? null : (info.nextActionTimes[0]?.toISOString() ?? null),
    last: await lastOf(client, description),
    running: info.runningActions.map(({ workflow }) => workflow.workflowId),
    missed: info.numActionsMissedCatchupWindow,
    overlapped: info.numActionsSkippedOverlap,
  };
}

async function lastOf(client: Client, { info }: ScheduleDescription): Promise<ScheduleStatus['last']> {
  const last = info.recentActions.at(-1);
  if (last === undefined) return null;
  const operation = last.action.workflow.workflowId;
  const at = last.takenAt.toISOString();
  try {
    const { state, error, result } = await operationStatus(client, operation);
    const skipped = whySkipped(result);
    if (skipped !== undefined) return { operation, at, state: 'skipped', reason: skipped };
    return { operation, at, state, ...(error ? { reason: error.message } : {}) };
  } catch (error) {
    // Temporal forgets operations before it forgets that they were started.
    if (!hasCode(error, 'OperationNotFound')) throw error;
    return { operation, at, state: 'unknown' };
  }
}

export const pauseSchedule = (client: Client, cluster: string, name: string, note: string): Promise<void> =>
  withSchedule(client, cluster, name, (handle) => handle.pause(note));

export const resumeSchedule = (client: Client, cluster: string, name: string, note: string): Promise<void> =>
  withSchedule(client, cluster, name, (handle) => handle.unpause(note));

/** Between two looks for the operation that a trigger started, and how often, ms. */
const LOOK_AGAIN = 100;
const LOOKS = 50;

/** Starts the schedule's operation now, unless one of it runs; answers the operation's id, null when none was started. */
export async function triggerSchedule(client: Client, cluster: string, name: string): Promise<string | null> {
  return withSchedule(client, cluster, name, async (handle) => {
    const before = await handle.describe();
    await handle.trigger(ScheduleOverlapPolicy.SKIP);
    const taken = ({ info }: ScheduleDescription): string[] =>
      info.recentActions.map(({ action }) => action.workflow.workflowId);
    for (let look = 0; look < LOOKS; look++) {
      const now = await handle.describe();
      const started = taken(now).find((id) => !taken(before).includes(id));
      if (started !== undefined) return started;
      if (now.info.numActionsSkippedOverlap > before.info.numActionsSkippedOverlap) return null;
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
    }
    return null;
  });
}

async function withSchedule<T>(
  client: Client,
  cluster: string,
  name: string,
  act: (handle: ScheduleHandle) => Promise<T>,
): Promise<T> {
  try {
    return await act(client.schedule.getHandle(scheduleId(cluster, name)));
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
    const known = (await ours(client, cluster)).map((one) => one.name);
    const there = known.length > 0 ? `there is ${known.sort().join(', ')}` : 'it has none';
    throw new HomarusError('ScheduleNotFound', `there is no schedule ${name} of cluster ${cluster}; ${there}`);
  }
}

async function found(handle: ScheduleHandle): Promise<ScheduleDescription | undefined> {
  try {
    return await handle.describe();
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return undefined;
    throw error;
  }
}

const memoOf = ({ action }: ScheduleDescription): ActionMemo | undefined =>
  action.memo?.homarus as ActionMemo | undefined;

function ifNotGone(error: unknown): void {
  if (!(error instanceof ScheduleNotFoundError)) throw error;
}
