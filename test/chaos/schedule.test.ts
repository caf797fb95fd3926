import { expect, test } from '@jest/globals';
import { cycleOf, KINDS, resourceOf } from '../../chaos/schedule.ts';

const nodes = ['n1', 'n2', 'n3'];
const cycles = (seed: number, count: number) =>
  Array.from({ length: count }, (_, number) => cycleOf(seed, number, nodes));

test('a seed fixes operations, faults and moments, and another seed has others', () => {
  expect(cycles(7, 20)).toEqual(cycles(7, 20));
  expect(cycles(8, 20)).not.toEqual(cycles(7, 20));
});

test('every kind of fault comes, and nothing is broken in two ways by one operation', () => {
  const steps = cycles(1, 100).flatMap((cycle) => cycle.steps);
  expect(new Set(steps.flatMap(({ faults }) => faults.map(({ kind }) => kind)))).toEqual(new Set(KINDS));
  for (const { faults } of steps) expect(new Set(faults.map(resourceOf)).size).toBe(faults.length);
});

test('the storage, the state and the root of every node run full', () => {
  const faults = cycles(1, 100).flatMap(({ steps }) => steps.flatMap((step) => step.faults));
  const full = faults.filter(({ kind }) => kind === 'full').map(({ target }) => target);
  expect(new Set(full)).toEqual(new Set(['storage', 'state', ...nodes]));
});

test('a backup goes without a node only while that one sleeps', () => {
  const without = cycles(1, 300).flatMap(({ steps }) =>
    steps.flatMap((step, at) => (step.without === undefined ? [] : [{ node: step.without, before: steps[at - 1] }])),
  );
  expect(without.length).toBeGreaterThan(0);
  for (const { node, before } of without) {
    expect(before?.faults.some(({ kind, target }) => kind === 'stop' && target === node)).toBe(true);
  }
});
