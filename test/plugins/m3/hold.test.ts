import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { hold, letGo } from '../../../src/plugins/m3/hold.ts';
import { HELD } from '../../../src/plugins/m3/layout.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'homarus-hold-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const never = new AbortController().signal;
const at = (...parts: string[]): string => join(root, ...parts);
function put(...parts: string[]): void {
  mkdirSync(at(...parts.slice(0, -1)), { recursive: true });
  writeFileSync(at(...parts), '');
}
const held = (): string[] =>
  readdirSync(at(HELD), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(at(HELD).length + 1))
    .sort();

test('holds the files of M3 with the looks of their directories, and nothing else; again, it begins anew', async () => {
  put('commitlogs', 'commitlog-0-1.db');
  put('snapshots', 'default', '0', 'fileset-1-0-data.db');
  put('data', 'default', '0', 'fileset-1-0-data.db');
  put('data', 'default', '0', 'notes.txt');
  put('.lock');
  put('.homarus', 'links.db');
  mkdirSync(at('index', 'data'), { recursive: true, mode: 0o755 });
  utimesSync(at('data'), 1_000_000, 1_000_000);
  put(HELD, 'left', 'over.db');
  expect(await hold(root, never)).toBe(3);
  const files = ['commitlogs/commitlog-0-1.db', 'data/default/0/fileset-1-0-data.db'];
  expect(held()).toEqual([...files, 'snapshots/default/0/fileset-1-0-data.db']);
  expect(statSync(at(HELD, files[0]!)).ino).toBe(statSync(at(files[0]!)).ino);
  expect(statSync(at(HELD, 'index', 'data')).mode).toBe(statSync(at('index', 'data')).mode);
  expect(statSync(at(HELD, 'data')).mtimeMs).toBe(1_000_000_000);

  await letGo(root);
  expect(existsSync(at(HELD))).toBe(false);
  expect(existsSync(at(files[0]!))).toBe(true);
  await letGo(root);
});

test('a directory of M3 that is elsewhere is refused: its files cannot be linked, and must not be missing', async () => {
  put('data', 'a.db');
  symlinkSync(tmpdir(), at('latest'));
  expect(await hold(root, never)).toBe(1);
  symlinkSync(tmpdir(), at('commitlogs'));
  const refused = {
    code: 'DifferentFileSystem',
    message: expect.stringContaining(`${at('commitlogs')} is a symbolic link`),
  };
  await expect(hold(root, never)).rejects.toMatchObject(refused);
});

test('stops when it is told to', async () => {
  put('data', 'a.db');
  const stopped = new AbortController();
  stopped.abort(new Error('stopped here'));
  await expect(hold(root, stopped.signal)).rejects.toThrow('stopped here');
});

/**
 * As M3 does: each sample is in its next place before it leaves the last one, and so is each volume of a block. It never
 * rests, and says how many samples there are.
 */
const MOVER = `
const { workerData: { root, counter, directories } } = require('node:worker_threads');
const { writeFileSync, rmSync } = require('node:fs');
const { join } = require('node:path');
const count = new Int32Array(counter);
const file = (stage, n) => join(root, directories[stage], 'sample-' + n + '.db');
const volume = (n) => join(root, 'data/ns/1/volume-' + n + '.db');
for (let n = 0, volumes = 0; Atomics.load(count, 1) === 0; n++) {
  for (let more = 0; more < 10; more++, volumes++) {
    writeFileSync(volume(volumes), '');
    if (volumes > 0) rmSync(volume(volumes - 1));
    Atomics.wait(count, 2, 0, 0.1);
  }
  writeFileSync(file(0, n), '');
  Atomics.store(count, 0, n + 1);
  for (let stage = 1; stage < directories.length; stage++) {
    const moving = n - 3 * stage;
    if (moving < 0) continue;
    writeFileSync(file(stage, moving), '');
    rmSync(file(stage - 1, moving));
  }
}`;

test('what moves from commit logs to snapshots to data, and from volume to volume, is held in one of them', async () => {
  const directories = ['commitlogs', 'snapshots/ns/0', 'data/ns/0'];
  for (const directory of [...directories, 'data/ns/1']) mkdirSync(at(directory), { recursive: true });
  const counter = new SharedArrayBuffer(12);
  const count = new Int32Array(counter);
  const mover = new Worker(MOVER, { eval: true, workerData: { root, counter, directories } });
  try {
    for (let round = 0; round < 40; round++) {
      while (Atomics.load(count, 0) < (round + 1) * 3) await new Promise((resolve) => setTimeout(resolve, 1));
      const samples = Atomics.load(count, 0);
      await hold(root, never);
      const names = new Set(held().map((path) => path.split('/').at(-1)));
      const lost = Array.from({ length: samples }, (_, n) => `sample-${n}.db`).filter((name) => !names.has(name));
      expect(lost).toEqual([]);
      expect([...names].filter((name) => name?.startsWith('volume-')).length).toBeGreaterThan(0);
    }
  } finally {
    Atomics.store(count, 1, 1);
    await once(mover, 'exit');
  }
});
