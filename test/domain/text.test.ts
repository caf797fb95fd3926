import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseDuration } from '../../src/domain/duration.ts';
import { formatBytes, formatDuration, formatRate, printPath } from '../../src/domain/text.ts';

test('durations are read with their unit, and nothing else is', () => {
  const read = ['250ms', '90s', '5m', '1h', '2d', '1w'].map(parseDuration);
  expect(read).toEqual([250, 90_000, 300_000, 3_600_000, 172_800_000, 604_800_000]);
  for (const bad of ['', '5', '-1s', '1.5h', '1h30m', '1 h', 's', '9999999999s']) {
    expect(() => parseDuration(bad)).toThrow(/is no duration: give one such as 90s, 5m, 1h or 2d/);
  }
});

test('sizes and times are short', () => {
  const sizes = [0, 1023, 1024, 1536, 1024 ** 2 * 150, 1024 ** 4 * 3].map(formatBytes);
  expect(sizes).toEqual(['0 B', '1023 B', '1.0 KiB', '1.5 KiB', '150 MiB', '3.0 TiB']);
  expect(formatRate(2048)).toBe('2.0 KiB/s');
  const times = [0, 999, 61_000, 3_600_000, 93_784_000].map(formatDuration);
  expect(times).toEqual(['0 s', '1 s', '1 min 1 s', '1 h', '1 d 2 h']);
});

test('no name of a file moves the cursor', () => {
  expect(printPath('a\x1b[2Jb\nc')).toBe('a\\x1b[2Jb\\x0ac');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (name) => {
      expect(printPath(name)).not.toMatch(/[\p{Cc}\u2028\u202e]/u);
    }),
  );
});
