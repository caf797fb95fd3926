import { PassThrough } from 'node:stream';
import { expect, test } from '@jest/globals';
import { confirm, whatNow } from '../../src/cli/ask.ts';
import type { Terminal } from '../../src/cli/terminal.ts';
import { onTerminal } from '../support/onTerminal.ts';

/** Somebody who types `keys` each time that he is asked something. */
function typing(...keys: string[]): { terminal: Terminal; shown(): string } {
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  const stderr = Object.assign(new PassThrough(), { isTTY: true });
  let shown = '';
  stderr.on('data', (text: Buffer) => {
    shown += text.toString();
    if (/\? |: /.test(text.toString())) {
      const next = keys.shift();
      if (next !== undefined) stdin.write(next);
    }
  });
  return { terminal: { stdin, stdout: new PassThrough(), stderr, env: {} }, shown: () => shown };
}

test.each([
  [['w\r'], 'watch'],
  [['l\r'], 'leave'],
  [['Cancel\r'], 'cancel'],
  [['\r', 'x\r', 'c\r'], 'cancel'],
  [['\x03'], 'leave'],
  [['x\r', '\x03'], 'leave'],
  [['\x04'], 'leave'],
])('at Ctrl-C %j means to %s', async (keys, meant) => {
  const { terminal, shown } = typing(...keys);
  expect(await whatNow(terminal, 'backup-1')).toBe(meant);
  expect(shown()).toContain('backup-1 still runs.');
  expect(process.listenerCount('SIGINT')).toBe(0);
});

test('only a "yes" confirms, and Ctrl-C does not', async () => {
  await confirm(typing(' YES\r').terminal, 'This removes it', undefined);
  for (const keys of ['y\r', '\x03', '\x04', '\r']) {
    await expect(confirm(typing(keys).terminal, 'This removes it', undefined)).rejects.toMatchObject({
      code: 'NotConfirmed',
    });
  }
});

test('on a real terminal Ctrl-C asks each time, and once more it leaves', async () => {
  const watcher = new URL('watcher.ts', import.meta.url).pathname;
  const shown = onTerminal({ program: process.execPath, args: [watcher], env: process.env });
  await shown.shows(/watching/);
  shown.types('\x03');
  await shown.shows(/w, l or c\? /);
  shown.types('w\r');
  await shown.shows(/it is to watch.*watching/s);
  shown.types('\x03');
  await shown.shows(/it is to watch.*w, l or c\? /s);
  shown.types('\x03');
  await shown.shows(/it is to leave/);
  expect(await shown.exit).toBe(0);
});
