import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { comes, ends } from './patience.ts';

export interface CommandLine {
  program: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
}

/** A command on a terminal of its own, and somebody who reads and types. */
export interface OnTerminal {
  types(keys: string): void;
  /** What all that was shown, colours and moves of the cursor left out, matches; waits for it. */
  shows(pattern: RegExp): Promise<RegExpExecArray>;
  readonly exit: Promise<number>;
}

const CONTROLS = /\x1b\[[\d;?]*[A-Za-z]|\r/g;

/** `script` of util-linux, which every Debian has, makes the terminal. */
export function onTerminal({ program, args, env }: CommandLine): OnTerminal {
  const quoted = [program, ...args].map((word) => `'${word}'`).join(' ');
  const child = spawn(
    'script',
    ['--quiet', '--return', '--command', `stty columns 160 rows 40; exec ${quoted}`, '/dev/null'],
    {
      env: { ...env, TERM: 'xterm', SHELL: '/bin/sh' },
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  let shown = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
  });
  const exited = once(child, 'exit') as Promise<[number | null]>;
  return {
    types: (keys) => void child.stdin.write(keys),
    shows: (pattern) =>
      comes(
        () => `${pattern} on the terminal, which shows ${JSON.stringify(shown.slice(-2_000))}`,
        () => pattern.exec(shown.replaceAll(CONTROLS, '')) ?? undefined,
      ),
    exit: ends(
      () => `"${args.join(' ')}" on a terminal to end`,
      exited.then(([code]) => code ?? -1),
      () => child.kill('SIGKILL'),
    ),
  };
}
