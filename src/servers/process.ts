import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** A program in a process group of its own, which ends with us unless it was started detached. */
export interface Running {
  pid: number;
  /** Resolves with how it ended, in words. */
  exited: Promise<string>;
  kill(signal: NodeJS.Signals): void;
  /** Asks it to end, insists after ten seconds, and waits until it is gone. */
  stop(): Promise<void>;
}

export interface LaunchOptions {
  logFile: string;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** It outlives this process. */
  detached?: boolean;
}

// Descriptor 3 is a pipe of which only we hold the other end: when we are gone, even by kill -9, the watcher
// reads its end and takes the group down. The program replaces the shell, so that the pid is the program's.
const DIES_WITH_PARENT = `
{ read -r _ <&3; trap "" TERM; kill -TERM 0
  for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 $$ 2>/dev/null || exit; command -p sleep 1; done
  kill -KILL 0; } </dev/null &
exec "$@" 3<&-`;

const PATIENCE_MS = 10_000;

export function launch(program: string, args: string[], options: LaunchOptions): Running {
  const { logFile, env = process.env, cwd, detached = false } = options;
  const log = openSync(logFile, 'a');
  const common = { env, cwd, detached: true };
  const child = detached
    ? spawn(program, args, { ...common, stdio: ['ignore', log, log] })
    : spawn('/bin/sh', ['-c', DIES_WITH_PARENT, 'sh', program, ...args], {
        ...common,
        stdio: ['ignore', log, log, 'pipe'],
      });
  closeSync(log);
  const pid = child.pid ?? 0;
  let running = pid !== 0;
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`could not be started: ${error.message}`));
    child.once('exit', (code, signal) => {
      running = false;
      // The watcher still holds the group's number, so this reaches our own group and none other.
      if (!detached) send(-pid, 'SIGKILL');
      resolve(signal ? `was ended by ${signal}` : `exited with code ${code}`);
    });
  });
  if (detached) child.unref();

  const kill = (signal: NodeJS.Signals): void => {
    if (running) send(pid, signal);
  };
  const stop = async (): Promise<void> => {
    child.ref();
    kill('SIGTERM');
    kill('SIGCONT'); // A paused program hears of its end only when it runs.
    await Promise.race([exited, delay(PATIENCE_MS, undefined, { ref: false })]);
    if (running) send(-pid, 'SIGKILL');
    await exited;
  };
  return { pid, exited, kill, stop };
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

const READY_WITHIN_MS = 60_000;

/** Asks until the program answers; says why, with the end of its log, when it ends or stays silent instead. */
export async function untilReady(
  what: string,
  running: Running,
  logFile: string,
  ask: () => Promise<unknown>,
): Promise<void> {
  let ended = '';
  void running.exited.then((how) => {
    ended = how;
  });
  const deadline = Date.now() + READY_WITHIN_MS;
  for (;;) {
    const refusal = await ask().then(
      () => undefined,
      (error: unknown) => error ?? new Error('no answer'),
    );
    if (refusal === undefined && !ended) return;
    if (ended)
      throw new Error(`${what} ${ended} before it was ready. Its log, ${logFile}, ends:\n${await tail(logFile)}`);
    if (Date.now() > deadline) {
      await running.stop();
      throw new Error(
        `${what} did not answer within ${READY_WITHIN_MS / 1000} s. Its log, ${logFile}, ends:\n${await tail(logFile)}`,
        { cause: refusal },
      );
    }
    await delay(100);
  }
}

export async function tail(file: string, lines = 15): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.trimEnd().split('\n').slice(-lines).join('\n') || '(nothing)';
}

/** A port of 127.0.0.1 that nobody listens on now: the given one, or one that the kernel picks. */
export function freePort(wanted = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (cause) =>
      reject(new Error(`port ${wanted} of 127.0.0.1 is taken: stop what listens there or choose another`, { cause })),
    );
    probe.listen(wanted, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() =>
        address && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}
