import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Runtime } from '@temporalio/worker';
import { requestCounts } from './storage/requestCounts.ts';

/** What a process counts beside the SDK's own metrics, at the same endpoint; docs/monitoring/README.md lists all. */

const meter = () => Runtime.instance().metricMeter;

/** Bytes that a node read from its disk (`read`), stored after compression (`stored`), or fetched to restore (`restored`). */
export function countBytes(kind: 'read' | 'stored' | 'restored', node: string, bytes: number): void {
  meter().createCounter('homarus_bytes', '', 'Bytes that nodes read, stored and restored').add(bytes, { kind, node });
}

export interface StorageGauges {
  /** Of the newest complete backup, ms since 1970; undefined when there is none. */
  lastSuccess: number | undefined;
  backups: number;
  /** Of the newest backup: all of its files, and what it brought after compression. */
  bytes: number;
  stored: number;
}

export function gaugeStorage(labels: { cluster: string; storage: string }, gauges: StorageGauges): void {
  const set = (name: string, description: string, value: number): void =>
    meter().createGauge(name, 'float', '', description).set(value, labels);
  const seconds = Math.floor((gauges.lastSuccess ?? 0) / 1000);
  set('homarus_last_success_timestamp_seconds', 'When the newest complete backup ended; 0 when there is none', seconds);
  set('homarus_backups', 'Backups that are listed', gauges.backups);
  set('homarus_last_backup_bytes', 'Bytes of all files of the newest backup', gauges.bytes);
  set('homarus_last_backup_stored_bytes', 'Bytes that the newest backup added to the storage', gauges.stored);
}

export function gaugeSchedule(labels: { cluster: string; schedule: string }, missed: number, paused: boolean): void {
  meter().createGauge('homarus_schedule_missed', 'int', '', 'Starts that were never made up for').set(missed, labels);
  meter()
    .createGauge('homarus_schedule_paused', 'int', '', '1 while it is paused')
    .set(paused ? 1 : 0, labels);
}

const EVERY = 5_000;

/** Samples what is counted elsewhere, until `stop`: requests to storages, and how late the event loop was at worst. */
export function sampleProcess(labels: Record<string, string>, stop: AbortSignal): void {
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  const lag = meter().createGauge('homarus_event_loop_lag_seconds', 'float', '', 'The longest of the last 5 s');
  const requests = meter().createCounter('homarus_storage_requests', '', 'Requests to storages, each try counted');
  const told = { tries: 0, repeated: 0, failed: 0 };
  const timer = setInterval(() => {
    lag.set(delay.max / 1e9, labels);
    delay.reset();
    for (const what of ['tries', 'repeated', 'failed'] as const) {
      const grown = requestCounts[what] - told[what];
      told[what] = requestCounts[what];
      if (grown > 0) requests.add(grown, { ...labels, what });
    }
  }, EVERY);
  timer.unref();
  stop.addEventListener(
    'abort',
    () => {
      clearInterval(timer);
      delay.disable();
    },
    { once: true },
  );
}
