import { appendFileSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { RECORDS, Writers, wrongRecords } from '../../chaos/writers.ts';

/** What is looked at must be able to be wrong, or a run without a violation says nothing of data that grows. */

let root: string;
let file: string;
const length = (): number => statSync(file).size;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'homarus-writers-'));
  file = join(root, RECORDS);
});
afterEach(() => rmSync(root, { recursive: true }));

/** Lets a writer add to the file; answers what was there before. */
async function write(): Promise<number> {
  const { written, stop } = new Writers(['n1'], () => root).start();
  const before = written.get('n1') as number;
  while (length() < before + 64) await pause(1);
  stop();
  return before;
}

test('a writer goes on where the file ends, also when a restore has made it shorter', async () => {
  expect(await write()).toBe(0);
  truncateSync(file, 32);
  expect(await write()).toBe(32);
  expect(wrongRecords('b', root, 32, length())).toEqual([]);
});

test('records that are fewer than there were, not as many as recorded, torn or not those that were written are seen', async () => {
  await write();
  const whole = length();
  expect(wrongRecords('b', root, whole + 16, whole)).toEqual([expect.stringContaining('were there when it began')]);
  expect(wrongRecords('b', root, 0, whole + 16)).toEqual([expect.stringContaining('were recorded')]);
  truncateSync(file, whole - 1);
  expect(wrongRecords('b', root, 0, whole - 1)).toEqual([expect.stringContaining(`at byte ${whole - 16}`)]);
  truncateSync(file, 16);
  appendFileSync(file, `${'2'.padStart(15, '0')}\n`);
  expect(wrongRecords('b', root, 0, 32)).toEqual([expect.stringContaining('at byte 16')]);
  writeFileSync(file, '\0'.repeat(16));
  expect(wrongRecords('b', root, 0, 16)).toEqual([expect.stringContaining('at byte 0')]);
  rmSync(file);
  expect(wrongRecords('b', root, 16, 0)).toHaveLength(1);
});
