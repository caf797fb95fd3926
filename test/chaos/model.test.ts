import { expect, test } from '@jest/globals';
import { type Ended, KEPT, Model } from '../../chaos/model.ts';
import type { BackupEntry } from '../../src/domain/documents.ts';

/** The model of `npm run chaos` must see what is wrong, or a run without a violation says nothing. */

const present = new Map(['n1', 'n2'].map((node) => [node, new Map([['file', node]])]));
const entry = (name: string, partial?: string[]): BackupEntry => ({ name, ...(partial && { partial }) }) as BackupEntry;
const made = (backup: string, more: Partial<Ended> = {}): Ended => ({
  kind: 'backup',
  state: 'succeeded',
  doubtful: false,
  backup,
  missing: [],
  listedBefore: [],
  ...more,
});
const failed = (more: Partial<Ended> = {}): Ended => ({ ...made(''), state: 'failed', backup: undefined, ...more });

/** Knows the backups b1 to b<count>. */
function given(count: number): { model: Model; names: string[] } {
  const model = new Model();
  const names = Array.from({ length: count }, (_, number) => `b${number + 1}`);
  expect(
    model.agree(
      names.map((name) => entry(name)),
      names.map((name) => made(name)),
      present,
    ),
  ).toEqual([]);
  return { model, names };
}

test('what operations made and what is listed is the same, and known with its content', () => {
  const { model } = given(1);
  expect(model.agree([entry('b1'), entry('b2', ['n2'])], [made('b2', { missing: ['n2'] })], present)).toEqual([]);
  expect(model.complete).toEqual(['b1']);
  expect(model.names).toEqual(['b2', 'b1']);
  expect([...model.of('b2').content.keys()]).toEqual(['n1']);
});

test('a backup has at least the records that were there when it began, and one that nobody named those of the first', () => {
  const { model } = given(0);
  const first = failed({ doubtful: true, written: new Map([['n1', 16]]) });
  const second = made('b2', { written: new Map([['n1', 32]]) });
  expect(model.agree([entry('b1'), entry('b2')], [first, second], present)).toEqual([]);
  expect(['b1', 'b2'].map((name) => model.of(name).least.get('n1'))).toEqual([16, 32]);
});

test('a backup that is listed though its operation failed is a violation, unless the operation was terminated', () => {
  const listed = [entry('b1'), entry('b2')];
  expect(given(1).model.agree(listed, [failed()], present)).toHaveLength(1);
  expect(given(1).model.agree(listed, [failed({ doubtful: true })], present)).toEqual([]);
});

test('a backup that its operation says it made and that is not listed is a violation', () => {
  expect(given(1).model.agree([entry('b1')], [made('b2')], present)).toContain('b2: gone without a cleanup');
});

test('a backup that is partial without being asked is a violation', () => {
  expect(given(1).model.agree([entry('b1'), entry('b2', ['n1'])], [made('b2')], present)).toHaveLength(1);
});

test('a cleanup may remove what is older than the last complete ones, and nothing else', () => {
  const cleanup = failed({ kind: 'cleanup' });
  const few = given(KEPT + 1);
  expect(
    few.model.agree(
      few.names.slice(1).map((name) => entry(name)),
      [cleanup],
      present,
    ),
  ).toEqual([]);
  const many = given(KEPT + 1);
  expect(
    many.model.agree(
      many.names.slice(2).map((name) => entry(name)),
      [cleanup],
      present,
    ),
  ).toHaveLength(1);
});

test('a cleanup that succeeded and left what it had to remove is a violation', () => {
  const { model, names } = given(KEPT + 2);
  const cleanup = failed({ kind: 'cleanup', state: 'succeeded', listedBefore: names });
  expect(
    model.agree(
      names.map((name) => entry(name)),
      [cleanup],
      present,
    ),
  ).toHaveLength(1);
});
