import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export interface ProgramOptions {
  /** All of its environment. */
  env: Record<string, string>;
  /** ms. */
  timeout: number;
  signal: AbortSignal;
  /** What it says, on stdout and stderr. */
  onLine(line: string): void;
}

export interface ProgramEnd {
  /** How it failed, in words; undefined when it ended with 0. */
  how: string | undefined;
  /** The last lines that it said. */
  end: string;
}

/** Between being asked to end and being made to, ms. */
const GRACE = 5_000;
/** After its end, for what it said last to arrive, ms: a daemon that it left behind may hold the pipes for ever. */
const LAST_WORDS = 1_000;
/** Of what it said, kept for the error. */
const LAST_LINES = 10;
const LONGEST_LINE = 400;

/**
 * Runs a program without a shell, in a process group of its own, which is ended as a whole by the time-out and by
 * `signal`, whose reason it then rejects with, after the end.
 */
export async function runProgram(program: string, args: string[], options: ProgramOptions): Promise<ProgramEnd> {
  const { env, timeout, signal, onLine } = options;
  signal.throwIfAborted();
  const child = spawn(program, args, { cwd: '/', env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const last: string[] = [];
  const heard = (line: string): void => {
    const text = line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE)}…` : line;
    onLine(text);
    last.push(text);
    if (last.length > LAST_LINES) last.shift();
  };
  const said = [child.stdout, child.stderr].map((stream) => {
    const lines = createInterface({ input: stream as Readable }).on('line', heard);
    return new Promise<void>((resolve) => lines.once('close', resolve));
  });

  const killers: NodeJS.Timeout[] = [];
  const kill = (name: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name);
    } catch {
      // All of the group have ended.
    }
  };
  const stop = (): void => {
    kill('SIGTERM');
    killers.push(setTimeout(() => kill('SIGKILL'), GRACE));
  };
  let late = false;
  killers.push(
    setTimeout(() => {
      late = true;
      stop();
    }, timeout),
  );
  signal.addEventListener('abort', stop, { once: true });
  try {
    const how = await new Promise<string | undefined>((resolve) => {
      child.once('error', (error) => resolve(`cannot be run: ${error.message}`));
      child.once('exit', (code, by) =>
        resolve(code === 0 ? undefined : by ? `was ended by ${by}` : `ended with ${code}`),
      );
    });
    signal.throwIfAborted();
    // What it said last may still be on its way.
    const silence = new Promise((resolve) => killers.push(setTimeout(resolve, LAST_WORDS)));
    await Promise.race([Promise.all(said), silence]);
    return { how: late ? `was not done after ${timeout / 1000} s` : how, end: last.join('\n') };
  } finally {
    for (const killer of killers) clearTimeout(killer);
    signal.removeEventListener('abort', stop);
  }
}
