import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type ProgramOptions, runProgram } from '../../src/plugins/commands/program.ts';
import { alive } from '../support/alive.ts';

/** Programs that the plugin `commands` runs, real ones. */

let directory: string;
let lines: string[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'homarus-program-'));
  lines = [];
});
afterEach(() => rmSync(directory, { recursive: true }));

const run = (program: string, args: string[], options: Partial<ProgramOptions> = {}) =>
  runProgram(program, args, {
    env: { PATH: process.env.PATH ?? '' },
    timeout: 60_000,
    signal: new AbortController().signal,
    onLine: (line) => lines.push(line),
    ...options,
  });
const shell = (line: string, options: Partial<ProgramOptions> = {}) => run('/bin/sh', ['-c', line], options);

test('arguments reach a program as they are: there is no shell', async () => {
  expect(await run('printf', ['%s\\n', '$HOME', '; echo no', '*'])).toEqual({
    how: undefined,
    end: '$HOME\n; echo no\n*',
  });
  expect(lines).toEqual(['$HOME', '; echo no', '*']);
});

test('it sees nothing of our environment but what it is given', async () => {
  process.env.TEST_OWN_SECRET = 'secret';
  await run('/usr/bin/env', [], { env: { GIVEN: 'x' } });
  delete process.env.TEST_OWN_SECRET;
  expect(lines).toEqual(['GIVEN=x']);
});

test('the end of one that failed has its last lines, and none too long', async () => {
  const { how, end } = await shell('for i in $(seq 30); do echo line $i; done; printf "%01000d\\n" 7; exit 3');
  expect(how).toBe('ended with 3');
  expect(end.split('\n')).toHaveLength(10);
  expect(end).toContain('line 30');
  expect(end).toContain('0…');
  expect(end.length).toBeLessThan(1_000);
  expect((await shell('kill -9 $$')).how).toBe('was ended by SIGKILL');
  expect((await run(join(directory, 'none'), [])).how).toMatch(/^cannot be run: .*ENOENT/);
});

test('the time-out ends it with all of its children', async () => {
  const child = join(directory, 'child');
  const { how } = await shell(`sleep 600 & echo $! > ${child}; wait`, { timeout: 3_000 });
  expect(how).toBe('was not done after 3 s');
  const pid = Number(readFileSync(child, 'utf8'));
  while (alive(pid)) await pause(20);
});

test('so does a signal, with its reason, when it has ended', async () => {
  const stop = new AbortController();
  const [begun, ended] = [join(directory, 'begun'), join(directory, 'ended')];
  const running = shell(`trap 'touch ${ended}; exit 0' TERM; touch ${begun}; while :; do sleep 0.05; done`, {
    signal: stop.signal,
  });
  while (!existsSync(begun)) await pause(20);
  stop.abort(new Error('the lock is lost'));
  await expect(running).rejects.toThrow('the lock is lost');
  expect(existsSync(ended)).toBe(true);
  await expect(shell('true', { signal: stop.signal })).rejects.toThrow('the lock is lost');
});

test('a daemon that it leaves behind and that holds its output is not waited for', async () => {
  const pidFile = join(directory, 'pid');
  const { how } = await shell(`sleep 600 & echo $! > ${pidFile}`);
  expect(how).toBeUndefined();
  process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGKILL');
});
