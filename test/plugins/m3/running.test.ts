import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { isLocked, signOfLife } from '../../../src/plugins/m3/running.ts';
import { freePort } from '../../../src/servers.ts';

let root: string;
let child: ChildProcess | undefined;
const NOBODY = '127.0.0.1:1';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'homarus-running-'));
});
afterEach(() => {
  child?.kill('SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

/** Another process that holds a POSIX lock on it, as M3 does; the integration tests have M3 itself. */
async function holdLock(file: string): Promise<ChildProcess> {
  const code = `const { DatabaseSync } = require('node:sqlite');
    const lock = new DatabaseSync(process.argv[1]); lock.exec('BEGIN EXCLUSIVE'); console.log('held'); setInterval(() => lock, 1000);`;
  const holder = spawn(process.execPath, ['-e', code, file], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(holder.stdout!, 'data');
  return holder;
}

test('a lock that a process holds is a sign of life, one that a dead process left is none', async () => {
  const file = join(root, '.lock');
  expect(await signOfLife(root, NOBODY)).toBeUndefined();
  writeFileSync(file, '');
  expect(isLocked(file)).toBe(false);
  child = await holdLock(file);
  expect(await signOfLife(root, NOBODY)).toBe(`a process holds the lock ${file}`);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(await signOfLife(root, NOBODY)).toBeUndefined();
  writeFileSync(file, 'no database of any kind, but a file of some length all the same');
  expect(isLocked(file)).toBe(false);
  expect(readFileSync(file, 'utf8')).toMatch(/^no database/);
});

test('so is somebody who listens at the endpoint', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endpoint = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  expect(await signOfLife(root, endpoint)).toContain(`listens at its endpoint ${endpoint}`);
  server.close();
  expect(await signOfLife(root, `127.0.0.1:${await freePort()}`)).toBeUndefined();
});
