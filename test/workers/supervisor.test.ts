import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Supervisor } from '../../src/workers/supervisor.ts';
import { comes } from '../support/patience.ts';

/** What systemd is told, by a tool in the place of its own. The real one is in test/system/systemd.test.ts. */

const directory = mkdtempSync(join(tmpdir(), 'homarus-supervisor-'));
const said = join(directory, 'said');
const environment = { PATH: `${directory}:${process.env.PATH}`, NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '20000' };

beforeAll(() => {
  const tool = join(directory, 'systemd-notify');
  writeFileSync(tool, `#!/bin/sh\necho "$NOTIFY_SOCKET $1" >>${said}\n`);
  chmodSync(tool, 0o755);
});
afterAll(() => rmSync(directory, { recursive: true }));

const lines = (): string[] => (existsSync(said) ? readFileSync(said, 'utf8').trim().split('\n') : []);
const toldOf = (message: string): number => lines().filter((line) => line === `/run/notify ${message}`).length;

test('it is ready when all parts are, lives while all of them do, and is silent when one does not', async () => {
  const supervisor = new Supervisor(2, environment);
  let works = true;
  let looks = 0;
  supervisor.started(() => true);
  supervisor.started(() => {
    looks++;
    return works;
  });
  await comes(
    () => 'three signs of life',
    () => toldOf('WATCHDOG=1') >= 3 || undefined,
  );
  expect(toldOf('READY=1')).toBe(1);
  works = false;
  const until = (count: number) =>
    comes(
      () => `${count} looks`,
      () => looks >= count || undefined,
    );
  const asked = looks;
  await until(asked + 3);
  // Whatever was under way has ended: each look before had one message.
  await comes(
    () => 'the messages of earlier looks',
    () => toldOf('WATCHDOG=1') === asked || undefined,
  );
  await until(looks + 3);
  expect(toldOf('WATCHDOG=1')).toBe(asked);
  works = true;
  await comes(
    () => 'another sign of life',
    () => toldOf('WATCHDOG=1') > asked || undefined,
  );
  supervisor.stopping();
  await comes(
    () => 'word of its end',
    () => toldOf('STOPPING=1') === 1 || undefined,
  );
  expect(toldOf('READY=1')).toBe(1);
});

test.each([
  ['no part has started', 1, environment, 0],
  ['one of two has started', 2, environment, 1],
  ['nobody asks', 1, { ...environment, NOTIFY_SOCKET: '' }, 1],
])('nothing is said when %s', async (_, parts, given, start) => {
  rmSync(said, { force: true });
  const supervisor = new Supervisor(parts, given);
  for (let part = 0; part < start; part++) supervisor.started(() => true);
  supervisor.stopping();
  // What is said later comes later.
  const last = new Supervisor(1, { ...environment, WATCHDOG_USEC: '' });
  last.started(() => true);
  await comes(
    () => 'what another one says',
    () => toldOf('READY=1') > 0 || undefined,
  );
  expect(lines()).toEqual(['/run/notify READY=1']);
});

test("a watch that is another process's is not answered, and a tool that is missing stops nobody", async () => {
  rmSync(said, { force: true });
  let looks = 0;
  const child = new Supervisor(1, { ...environment, WATCHDOG_PID: String(process.ppid) });
  child.started(() => ++looks > 0);
  const without = new Supervisor(1, { ...environment, PATH: '/nowhere', WATCHDOG_PID: String(process.pid) });
  let looked = 0;
  without.started(() => ++looked > 0);
  await comes(
    () => 'three looks without a tool',
    () => looked >= 3 || undefined,
  );
  without.stopping();
  child.stopping();
  expect(looks).toBe(0);
});
