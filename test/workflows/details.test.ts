import { expect, test } from '@jest/globals';
import type { OperationProgress } from '../../src/domain/operations.ts';
import { progressText } from '../../src/domain/progressText.ts';
import { Details } from '../../src/workflows/details.ts';

const GIB = 1024 ** 3;
const at = (more: Partial<OperationProgress>): OperationProgress => ({
  ...{ kind: 'backup', phase: 'upload', attempt: 1, attempts: 1, cluster: 'east', done: [], nodes: [] },
  ...more,
});

test('a run says what each node is at or did, what the phases before did, and how fast', () => {
  const details = new Details();
  details.enter('snapshot', 0);
  details.did('n1', { text: 'read', bytes: 4 * GIB }, 10_000);
  details.did('n2', { text: 'read', bytes: 4 * GIB }, 20_000);
  details.enter('upload', 20_000, (node) => (node === 'n2' ? '3.0 GiB to store' : ''));
  details.did('n1', { text: '2.0 GiB stored as 1.0 GiB', bytes: 2 * GIB }, 30_000);
  expect(details.markdown(at({ nodes: ['n1', 'n2'], done: ['n1'] }))).toBe(
    [
      '**upload** on 2 nodes, 1 done',
      '- n2: at work, 3.0 GiB to store\n- n1: 2.0 GiB stored as 1.0 GiB in 10 s, 205 MiB/s',
      'before:',
      '- snapshot: 2 nodes, 8.0 GiB in 20 s, 410 MiB/s',
    ].join('\n\n'),
  );
  details.cancelling = true;
  expect(details.markdown(at({}))).toContain('cancelling: it ends, and unlocks the cluster, when');
});

test('a new attempt begins with the reason of the last, and of many nodes a part is listed, those at work first', () => {
  const details = new Details();
  details.enter('snapshot', 0);
  details.did('n1', { text: 'read', bytes: 1 }, 1);
  details.enter('between attempts', 2);
  const nodes = Array.from({ length: 250 }, (_, place) => `n${place}`);
  details.enter('snapshot', 3);
  const shown = details.markdown(at({ attempt: 2, attempts: 3, nodes, done: ['n0'], lastFailure: 'LockLost: x' }));
  expect(shown).toMatch(/^\*\*snapshot\*\* on 250 nodes, 1 done \(attempt 2 of 3\)\n\n- n1: at work\n/);
  expect(shown).toMatch(/- n100: at work\n- … and 150 more\n\nlast failure: LockLost: x$/);
});

test('a heartbeat reads as a line', () => {
  const progress = { filesDone: 3, filesTotal: 9, bytesDone: 0, bytesTotal: 0, rate: 0, at: '' };
  const [done, total, rate] = [7.564 * GIB, 12.4 * GIB, 210 * 1024 ** 2];
  expect(progressText('a2', { ...progress, bytesDone: done, bytesTotal: total, rate, at: 'tables/t1' })).toBe(
    'a2: 61 % of 12.4 GiB, 210 MiB/s, tables/t1',
  );
  expect(progressText('a2', { ...progress, bytesDone: 2 * total, bytesTotal: total })).toBe('a2: 100 % of 12.4 GiB');
  expect(progressText('a2', progress)).toBe('a2: 3 files');
});
