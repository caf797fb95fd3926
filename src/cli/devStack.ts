import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config.ts';
import { HomarusError } from '../domain/errors.ts';
import type { Report, TemporalServer } from '../servers.ts';
import { startTemporal } from '../servers.ts';

/** A whole cluster on this machine, for development and the demo: Temporal, a coordinator, every node, as processes. */
export interface DevStack {
  readonly temporal: TemporalServer;
  readonly processes: readonly StackProcess[];
  /** What children of this stack need in their environment. */
  readonly env: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

export interface StackProcess {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  readonly exited: Promise<string>;
  kill(signal: NodeJS.Signals): void;
}

export interface StackOptions {
  config: Config;
  configFile: string;
  /** For Temporal's database and the logs. */
  directory: string;
  report: Report;
  api?: boolean;
  /** Of Temporal; a free one unless given. */
  port?: number | undefined;
  /** The processes go on when this one ends. */
  detached?: boolean;
}

const READY_WITHIN = 60_000;
const STOP_WITHIN = 20_000;

/**
 * glibc raises this limit, up to 32 MiB, with each buffer that is given back, and keeps what lies below it in the heaps of the
 * threads that took it: a node had 150 MiB more (docs/sizing.md).
 */
const malloc = { MALLOC_MMAP_THRESHOLD_: '1048576' };

export async function startStack(options: StackOptions): Promise<DevStack> {
  const { config, directory, report, detached = false } = options;
  mkdirSync(directory, { recursive: true });
  const temporal = await startTemporal({
    dbFilename: join(directory, 'temporal.db'),
    logFile: join(directory, 'temporal.log'),
    namespace: config.temporal.namespace ?? 'default',
    report,
    detached,
    ...(options.port === undefined ? {} : { ports: { grpc: options.port } }),
  });
  const env = {
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: temporal.namespace,
    HOMARUS_TEMPORAL_UI: temporal.uiUrl,
  };
  const processes: StackProcess[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(processes.map(endProcess));
    await temporal.stop();
  };
  try {
    const start = (name: string, ...args: string[]): StackProcess => {
      const child = startHomarus([...args, '--config', options.configFile], {
        name,
        logFile: join(directory, `${name}.log`),
        env,
        detached,
      });
      processes.push(child);
      return child;
    };
    const starting = [
      ready(start('coordinator', 'coordinator'), 'coordinator started'),
      ...config.nodes.map(({ id }) => ready(start(`node-${id}`, 'node', '--node', id), 'node started')),
    ];
    if (options.api) starting.push(ready(start('api', 'api'), 'facade started'));
    await Promise.all(starting);
    return { temporal, processes, env, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export interface StartOptions {
  name: string;
  logFile: string;
  env: Readonly<Record<string, string>>;
  detached?: boolean;
}

const isSource = import.meta.url.endsWith('.ts');
/** Our own command line. */
export const program = fileURLToPath(new URL(isSource ? './main.ts' : './main.js', import.meta.url));

/** One of our own processes, its output in a file; it ends when this process does, unless detached. */
export function startHomarus(
  args: readonly string[],
  { name, logFile, env, detached = false }: StartOptions,
): StackProcess {
  const log = openSync(logFile, 'a');
  const child = spawn(process.execPath, [program, ...args], {
    // The channel tells it when we are gone; who is detached is not to know.
    stdio: ['ignore', log, log, ...(detached ? [] : (['ipc'] as const))],
    env: { ...malloc, ...process.env, ...env },
    detached,
  });
  closeSync(log);
  if (detached) child.unref();
  const exited = once(child, 'exit').then(([code, signal]) =>
    signal ? `was ended by ${signal}` : `ended with code ${code}`,
  );
  return { name, pid: child.pid as number, logFile, exited, kill: (signal) => void child.kill(signal) };
}

/** Waits until the process says that it serves. */
export async function ready(child: StackProcess, line: string): Promise<void> {
  let ended: string | undefined;
  void child.exited.then((how) => {
    ended = how;
  });
  for (const deadline = performance.now() + READY_WITHIN; ; await pause(50)) {
    const log = readFileSync(child.logFile, 'utf8');
    if (log.includes(line)) return;
    if (ended === undefined && performance.now() < deadline) continue;
    throw new HomarusError('Internal', `${child.name} ${ended ?? 'did not start in time'}:\n${log.slice(-2000)}`);
  }
}

export async function endProcess(child: StackProcess): Promise<void> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN);
  await child.exited;
  clearTimeout(timer);
}
