import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What one run of a command took, of the command itself and of the processes that work for it. */
export interface Measured {
  /** From the command's start to its end, s. */
  seconds: number;
  /** User and system time of all processes, s. */
  cpu: number;
  /** Of the process that had most, bytes. */
  peak: number;
  /** The same of each process by its name. */
  processes: Record<string, { cpu: number; peak: number }>;
}

export interface Command {
  program: string;
  args: readonly string[];
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  /** Its output; shown when it fails. */
  log: string;
  /** Processes that work for it, by what they are called. */
  servants?: Readonly<Record<string, number>>;
}

const SAMPLE_EVERY = 10;
const TICKS_PER_SECOND = 100;

/** Runs a command to its end; its own exit code must be 0. */
export async function measure(command: Command): Promise<Measured> {
  const servants = Object.entries(command.servants ?? {});
  const before = servants.map(([, pid]) => {
    forgetPeak(pid);
    return cpuOf(pid);
  });
  const log = openSync(command.log, 'a');
  const logged = statSync(command.log).size;
  const started = performance.now();
  const child = spawn(command.program, command.args, {
    stdio: ['ignore', log, log],
    env: { ...process.env, ...command.env },
    ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
  });
  const own = { cpu: 0, peak: 0 };
  const sample = (): void => {
    own.cpu = Math.max(own.cpu, cpuOf(child.pid as number));
    own.peak = Math.max(own.peak, peakOf(child.pid as number));
  };
  const ticker = setInterval(sample, SAMPLE_EVERY);
  const ended = await new Promise<string | undefined>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code === 0 ? undefined : (signal ?? `code ${code}`)));
  }).finally(() => {
    clearInterval(ticker);
    closeSync(log);
  });
  const seconds = (performance.now() - started) / 1000;
  if (ended !== undefined) {
    const output = readFileSync(command.log).subarray(logged).toString().slice(-2000);
    throw new Error(`${command.program} ${command.args.join(' ')} ended with ${ended}:\n${output}`);
  }
  const processes: Measured['processes'] = { command: own };
  for (const [place, [name, pid]] of servants.entries()) {
    processes[name] = { cpu: cpuOf(pid) - (before[place] as number), peak: peakOf(pid) };
  }
  const all = Object.values(processes);
  return {
    seconds,
    cpu: all.reduce((sum, { cpu }) => sum + cpu, 0),
    peak: Math.max(...all.map(({ peak }) => peak)),
    processes,
  };
}

/** User and system time of a process and of its children that ended, s (proc_pid_stat(5), fields 14 to 17). */
function cpuOf(pid: number): number {
  const stat = readProc(`${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SECOND;
}

/** Most memory that a process had since `forgetPeak`, bytes. */
function peakOf(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readProc(`${pid}/status`))?.[1] ?? 0) * 1024;
}

/** proc_pid_clear_refs(5) */
function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** Nothing of a process that has just ended. */
function readProc(path: string): string {
  try {
    return readFileSync(join('/proc', path), 'latin1');
  } catch {
    return '';
  }
}

/** Bytes of all files below a directory. */
export function bytesBelow(directory: string): number {
  let bytes = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size;
  }
  return bytes;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle] as number;
  return ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}
