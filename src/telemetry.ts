import { AsyncLocalStorage } from 'node:async_hooks';
import { DefaultLogger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import { HomarusError } from './domain/errors.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type Log = (level: LogLevel, message: string, fields?: Record<string, unknown>) => void;

const around = new AsyncLocalStorage<Record<string, unknown>>();

/** Each message of `body` bears these fields: which operation, node and backup it is about. */
export const withFields = <T>(fields: Record<string, unknown>, body: () => T): T =>
  around.run({ ...around.getStore(), ...fields }, body);

/** A line of JSON for each message, or a readable one on a terminal; to stderr, stdout belongs to results. */
export const log: Log = (level, message, own = {}) => {
  const fields = { ...around.getStore(), ...own };
  const time = new Date().toISOString();
  if (process.stderr.isTTY) {
    const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${String(value)}`);
    process.stderr.write(`${time} ${level.padEnd(5)} ${message}${rest.join('')}\n`);
  } else {
    process.stderr.write(`${JSON.stringify({ time, level, message, ...fields })}\n`);
  }
};

/** Fields of Temporal's own messages that are noise, or a capability. */
const unwanted = new Set(['taskToken', 'sdkComponent', 'namespace', 'isLocal', 'taskQueue']);

/** Messages that say that a worker of ours does what it is meant to. */
const NOISE = /^No (workflows|Nexus services) registered, not polling/;

/** Seconds: of operations and their phases. */
const SECONDS = [0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400];

/** Of those that workflows record. */
const histograms = ['homarus_operation_seconds', 'homarus_phase_seconds', 'homarus_lock_wait_seconds'] as const;

let installed = false;

/** Where Prometheus finds what this process counts. */
export interface MetricsEndpoint {
  host: string;
  port: number;
}

/**
 * Gives Temporal's runtime our logger, and serves metrics where they are wanted; once in a process, before any worker or
 * connection. `ConfigInvalid` when the endpoint cannot be had.
 */
export function installRuntime(metrics?: MetricsEndpoint): void {
  if (installed) return;
  installed = true;
  try {
    install(metrics);
  } catch (cause) {
    const where = metrics
      ? `metrics: ${metrics.host}:${metrics.port} cannot be listened at`
      : "Temporal's runtime cannot be had";
    throw new HomarusError('ConfigInvalid', `${where}: ${(cause as Error).message}`, { cause });
  }
}

function install(metrics: MetricsEndpoint | undefined): void {
  Runtime.install({
    shutdownSignals: [],
    logger: new DefaultLogger('INFO', ({ level, message, meta }) => {
      if (NOISE.test(message)) return;
      const known: Record<string, LogLevel> = { TRACE: 'debug', DEBUG: 'debug', WARN: 'warn', ERROR: 'error' };
      const fields = Object.entries(meta ?? {}).filter(([name]) => !unwanted.has(name));
      log(
        known[level] ?? 'info',
        message,
        Object.fromEntries(fields.map(([name, value]) => [name, short(value)] as const)),
      );
    }),
    telemetryOptions: {
      logging: { filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }), forward: {} },
      ...(metrics === undefined ? {} : { metrics: exporter(metrics) }),
    },
  });
}

function exporter({ host, port }: MetricsEndpoint) {
  const bindAddress = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const histogramBucketOverrides = Object.fromEntries(histograms.map((name) => [name, SECONDS]));
  return {
    prometheus: {
      ...{ bindAddress, histogramBucketOverrides },
      ...{ countersTotalSuffix: true, unitSuffix: true, useSecondsForDurations: true },
    },
  };
}

function short(value: unknown): unknown {
  const text = value instanceof Error ? `${value.name}: ${value.message}` : value;
  return typeof text === 'string' && text.length > 500 ? `${text.slice(0, 500)}…` : text;
}
