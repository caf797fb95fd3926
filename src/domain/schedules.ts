import type { BackupRequest, CleanupRequest, DrillRequest, OperationRequest, VerifyRequest } from './requests.ts';
import { formatDuration } from './text.ts';

/** Operations that run by themselves, as the configuration has them. */

interface Scheduled {
  backup: BackupRequest;
  cleanup: CleanupRequest;
  verify: VerifyRequest;
  drill: DrillRequest;
}
export type ScheduledKind = keyof Scheduled;

/** When: at the times of a cron line, or at intervals that are counted from 1970 on (ms). */
export type ScheduleTimes = { cron: string } | { every: number };

export interface ScheduleDefinition {
  name: string;
  operation: ScheduledKind;
  request: OperationRequest;
  times: ScheduleTimes;
  /** IANA name; of the cron line. */
  timeZone: string;
  /** Each start is put off by up to so much, by chance, ms. */
  jitter: number;
  /** A start that was missed, Temporal being down, is made up for so long, ms. */
  catchUp: number;
}

/** Who asks for an operation that a schedule starts. */
export const bySchedule = (name: string): string => `schedule ${name}`;

export const scheduleId = (cluster: string, name: string): string => `homarus-${cluster}-${name}`;

/** Temporal appends the time to the ids of the operations: `backup-prod-nightly-2026-11-24T03:00:00Z`. */
export const scheduledIds = (cluster: string, { operation, name }: ScheduleDefinition): string =>
  `${operation}-${cluster}-${name}`;

/** For people. */
export function describeTimes({ times, timeZone, jitter }: ScheduleDefinition): string {
  const when = 'cron' in times ? `${times.cron} (${timeZone})` : `every ${formatDuration(times.every)}`;
  return jitter > 0 ? `${when}, up to ${formatDuration(jitter)} later` : when;
}
