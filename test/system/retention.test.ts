import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect } from '@jest/globals';
import type { Judged, RetentionPolicy } from '../../src/domain/retention.ts';
import { judge } from '../../src/domain/retention.ts';
import { testNeeding } from '../support/needing.ts';

/** restic is the oracle of its own rules: the same times and the same policy must keep the same. */

const LONG = 240_000;
let base: string;
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'homarus-restic-'));
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

async function restic(...args: string[]): Promise<string> {
  const env = { ...process.env, TZ: 'UTC', RESTIC_PASSWORD: 'x', RESTIC_REPOSITORY: join(base, 'repository') };
  const options = { env, cwd: base, maxBuffer: 64 * 1024 * 1024 };
  return (await promisify(execFile)('restic', ['--no-cache', '--quiet', ...args], options)).stdout;
}

/** Hours of a day, days next to each other, turns of week, month and year, leap day, gaps. */
const times = [
  '2024-02-29 12:00:00',
  '2024-02-29 12:30:00',
  '2025-01-01 00:00:00',
  '2025-12-28 23:59:59',
  '2025-12-29 00:00:00',
  '2026-01-01 00:00:00',
  '2026-01-31 12:00:00',
  '2026-03-01 12:00:00',
  '2026-03-31 12:00:00',
  '2026-04-30 12:00:00',
  '2026-05-01 11:59:59',
  '2026-05-24 23:00:00',
  '2026-05-25 01:00:00',
  '2026-05-30 10:00:00',
  '2026-05-31 10:00:00',
  '2026-05-31 10:30:00',
  '2026-05-31 12:00:00',
];

const policies: RetentionPolicy[] = [
  { keepLast: 3 },
  { keepHourly: 3 },
  { keepHourly: 50 },
  { keepDaily: 4 },
  { keepWeekly: 5 },
  { keepWeekly: 40 },
  { keepMonthly: 4 },
  { keepYearly: 2 },
  { keepYearly: 9 },
  { keepLast: 1, keepDaily: 2, keepWeekly: 3, keepMonthly: 5, keepYearly: 1 },
  { keepWithin: '1m' },
  { keepWithin: '1d2h' },
  { keepWithin: '3m' },
  { keepWithin: '2y3m2d' },
  { keepWithinDaily: '7d', keepWithinMonthly: '1y' },
  { keepWithinWeekly: '1m7d', keepLast: 1 },
  { keepWithinYearly: '5y' },
];

const flagOf = (field: string): string => `--${field.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

testNeeding('restic')(
  'what restic keeps by a policy, we keep by the same policy',
  async () => {
    mkdirSync(join(base, 'data'));
    writeFileSync(join(base, 'data', 'file'), 'x');
    await restic('init');
    for (const time of times) await restic('backup', '--time', time, 'data');
    const backups: Judged[] = times.map((time) => ({ name: time, finished: `${time.replace(' ', 'T')}Z` }));
    const hasOldest = (await keptBy({ keepYearly: 9 })).includes(times[0] as string);
    for (const policy of policies) {
      const ours = judge(backups, policy, Date.now()).filter(({ keep, reasons }) => {
        // The restic of Debian 12 is from before the rule that keeps the oldest.
        return keep && (hasOldest || reasons.some((reason) => !reason.startsWith('oldest')));
      });
      const kept = ours.map(({ name }) => name).sort();
      expect({ policy, kept }).toEqual({ policy, kept: await keptBy(policy) });
    }
  },
  LONG,
);

async function keptBy(policy: RetentionPolicy): Promise<string[]> {
  const flags = Object.entries(policy).flatMap(([field, value]) => [flagOf(field), String(value)]);
  const [{ keep }] = JSON.parse(await restic('forget', '--dry-run', '--json', ...flags));
  return (keep as { time: string }[]).map(({ time }) => time.slice(0, 19).replace('T', ' ')).sort();
}
