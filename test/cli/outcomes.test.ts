import { expect, test } from '@jest/globals';
import { describeOutcome } from '../../src/cli/outcomes.ts';
import type { OperationStatus } from '../../src/client/progress.ts';
import type { BackupResult } from '../../src/domain/results.ts';

const result: BackupResult = {
  ...{ backup: 'b1', id: 'id', attempt: 1, attempts: [], nodes: 3, missing: [], files: 6_006, bytes: 4_096 },
  ...{ added: 2_048, stored: 1_024, skipped: 0, vanished: 0, snapshotSpread: 100 },
} as Partial<BackupResult> as BackupResult;

const ended = (of: unknown): OperationStatus =>
  ({
    id: 'backup-east-1',
    kind: 'backup',
    state: 'succeeded',
    result: of,
  }) as Partial<OperationStatus> as OperationStatus;

test.each([0, 2])('a backup that left out %d files was no backup that was skipped', (skipped) => {
  const words = describeOutcome(ended({ ...result, skipped }));
  expect(words).toMatch(/^backup b1: 6,006 files /);
  expect(words.includes('left out, being no files or unreadable: 2')).toBe(skipped === 2);
});

test('an operation that was skipped says why', () => {
  const words = describeOutcome(ended({ skipped: 'cluster east is locked by lock-1' }));
  expect(words).toBe('backup-east-1 was skipped: cluster east is locked by lock-1');
});
