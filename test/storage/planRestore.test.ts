import { expect, test } from '@jest/globals';
import type { BackupEntry, RootDocument } from '../../src/domain/documents.ts';
import { findBackup } from '../../src/storage/planRestore.ts';
import { backupOf } from './given.ts';

const rootOf = (...partials: (string[] | undefined)[]): RootDocument => {
  const backups = partials.map((partial, place): BackupEntry => {
    const entry = { ...backupOf(`b${place}`, place + 1), finished: `2025-01-0${place + 1}T00:00:00.000Z` };
    return partial ? { ...entry, partial } : entry;
  });
  return { cluster: 'east', backups } as Partial<RootDocument> as RootDocument;
};

test('the latest is a complete one, before a time if one is given', () => {
  const root = rootOf(undefined, undefined, ['n2']);
  expect(findBackup(root, 'latest').name).toBe('b1');
  expect(findBackup(root, 'latest', { before: '2025-01-02T00:00:00Z' }).name).toBe('b0');
  expect(findBackup(root, 'b2').partial).toEqual(['n2']);
});

test('of named nodes it is the latest that has them all', () => {
  const root = rootOf(undefined, ['n1'], ['n2']);
  expect(findBackup(root, 'latest', { nodes: ['n1'] }).name).toBe('b2');
  expect(findBackup(root, 'latest', { nodes: ['n2', 'n3'] }).name).toBe('b1');
  expect(findBackup(root, 'latest', { nodes: ['n1', 'n2'] }).name).toBe('b0');
});

test('where only partial ones are, it says so and names one', () => {
  const root = rootOf(['n2']);
  expect(() => findBackup(root, 'latest')).toThrow(
    expect.objectContaining({
      code: 'BackupNotFound',
      message: 'cluster east has no complete backup; the latest, b0, is without n2',
      hint: expect.stringContaining('b0'),
    }),
  );
  expect(() => findBackup(root, 'latest', { nodes: ['n2'] })).toThrow('cluster east has no backup of n2; the latest');
  expect(() => findBackup(rootOf(), 'latest', { before: '2025-01-01T00:00:00Z' })).toThrow('has no backup before');
});
