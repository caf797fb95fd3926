import { DefaultLogger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type Log = (level: LogLevel, message: string, fields?: Record<string, unknown>) => void;

/** A line of JSON for each message, or a readable one on a terminal; to stderr, stdout belongs to results. */
export const log: Log = (level, message, fields = {}) => {
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

let installed = false;

/** Gives Temporal's runtime our logger; once in a process, before any worker or connection. */
export function installRuntime(): void {
  if (installed) return;
  installed = true;
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
    telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }), forward: {} } },
  });
}

function short(value: unknown): unknown {
  const text = value instanceof Error ? `${value.name}: ${value.message}` : value;
  return typeof text === 'string' && text.length > 500 ? `${text.slice(0, 500)}…` : text;
}
