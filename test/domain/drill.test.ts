import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { drillDirectory, expectedRestore, isInSample } from '../../src/domain/drill.ts';

const tree = (from: string, bytes: number, ms: number) => ({ from, bytes, ms, files: 1, fetchedBytes: bytes });

test('a scratch directory is of one operation and one node, whatever the id of the operation', () => {
  expect(drillDirectory('/var/x/', 'drill-east-proof-2026-11-25T03:00:00Z', 'n1')).toBe(
    '/var/x/homarus-drill-east-proof-2026-11-25T03_00_00Z/n1',
  );
});

test('a sample holds about its share of many alike paths, the same ones for the same seed', () => {
  const paths = Array.from({ length: 20_000 }, (_, place) => `tables/${place % 50}/segment-${place}.db`);
  const sampleOf = (percent: number, seed: number): string[] =>
    paths.filter((path) => isInSample(path, { percent, seed }));
  for (const percent of [1, 10, 50, 90]) {
    const share = sampleOf(percent, 7).length / paths.length;
    expect(Math.abs(share - percent / 100)).toBeLessThan(0.02);
  }
  expect(sampleOf(10, 7)).toEqual(sampleOf(10, 7));
  const both = sampleOf(10, 7).filter((path) => isInSample(path, { percent: 10, seed: 8 })).length;
  expect(both).toBeLessThan(paths.length * 0.02);
  expect(sampleOf(100, 7)).toEqual(paths);
});

test('a larger sample holds all of a smaller one', () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(), fc.nat(100), fc.nat(100), (path, seed, one, other) => {
      const [small, large] = [Math.min(one, other), Math.max(one, other)];
      if (isInSample(path, { percent: small, seed })) expect(isInSample(path, { percent: large, seed })).toBe(true);
    }),
  );
});

test('the time of a whole restore is that of the slowest node, were all of its bytes as fast', () => {
  expect(expectedRestore([tree('a', 100, 1_000), tree('b', 50, 1_000)], { a: 1_000, b: 5_000 })).toBe(100_000);
  expect(expectedRestore([tree('a', 1_000, 700)], { a: 1_000 })).toBe(700);
  expect(expectedRestore([tree('a', 0, 5)], { a: 1_000 })).toBe(5);
  expect(expectedRestore([], {})).toBe(0);
});
