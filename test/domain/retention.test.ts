import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Judged, RetentionPolicy } from '../../src/domain/retention.ts';
import { judge } from '../../src/domain/retention.ts';

const NOW = Date.parse('2026-11-24T12:00:00Z');
const DAY = 86_400_000;

const aged = (name: string, days: number, more: Partial<Judged> = {}): Judged => ({
  name,
  finished: new Date(NOW - days * DAY).toISOString(),
  pinned: false,
  ...more,
});
const week = ['g', 'f', 'e', 'd', 'c', 'b', 'a'].map((name, days) => aged(name, days)).reverse();
const kept = (backups: Judged[], policy: RetentionPolicy, options: { delete?: string[] } = {}): string =>
  judge(backups, policy, NOW, options)
    .filter(({ keep }) => keep)
    .map(({ name }) => name)
    .join('');

describe('of seven daily backups, a to g,', () => {
  test.each<[string, RetentionPolicy, string]>([
    ['no rule keeps all', {}, 'abcdefg'],
    ['the last two stay', { keepLast: 2 }, 'fg'],
    ['what is not older than three whole days stays', { keepDays: 3 }, 'defg'],
    ['the union of rules stays', { keepLast: 5, keepDays: 1 }, 'cdefg'],
    ['a minimum holds against the rules', { keepDays: 0, minimumBackups: 3 }, 'efg'],
    ['a maximum alone cuts the oldest', { maximumBackups: 4 }, 'defg'],
    ['a maximum cuts what rules keep', { keepLast: 6, maximumBackups: 2 }, 'fg'],
    ['a minimum alone removes nothing', { minimumBackups: 2 }, 'abcdefg'],
    ['a maximum never cuts below the minimum', { maximumBackups: 2, minimumBackups: 4 }, 'defg'],
  ])('%s', (_, policy, expected) => {
    expect(kept(week, policy)).toBe(expected);
  });

  test('a pinned one stays whatever the rules say', () => {
    const backups = week.map((backup) => (backup.name === 'a' ? { ...backup, pinned: true } : backup));
    expect(kept(backups, { keepLast: 1 })).toBe('ag');
    expect(kept(backups, { maximumBackups: 1 })).toBe('a');
    expect(kept(backups, {}, { delete: ['a', 'b'] })).toBe('acdefg');
  });

  test('a partial one takes no place of a complete one, and goes when there is a newer one of those', () => {
    const partial = (...names: string[]) =>
      week.map((backup) => (names.includes(backup.name) ? { ...backup, partial: ['n1'] } : backup));
    expect(kept(partial('g'), { keepLast: 2 })).toBe('efg');
    expect(kept(partial('f'), { keepLast: 2 })).toBe('eg');
    expect(kept(partial('d', 'e', 'f', 'g'), { keepLast: 2 })).toBe('bcfg');
    expect(kept(partial('f'), { minimumBackups: 2, keepDays: 0 })).toBe('eg');
    expect(kept(partial('d', 'e', 'f', 'g'), { maximumBackups: 2 })).toBe('bcfg');
    expect(kept(partial(...'abcdefg'), { keepLast: 1 })).toBe('g');
  });

  test('what a kept one requires stays, too', () => {
    const backups = week.map((backup) => (backup.name === 'g' ? { ...backup, requires: ['b'] } : backup));
    expect(kept(backups, { keepLast: 1 })).toBe('bg');
    expect(kept(backups, {}, { delete: ['b'] })).toBe('abcdefg');
  });

  test('named ones are removed though rules would keep them', () => {
    expect(kept(week, { keepLast: 7 }, { delete: ['g', 'c'] })).toBe('abdef');
  });
});

test('what comes from the future is not removed', () => {
  expect(kept([...week, aged('y', -1), aged('z', -2)], { keepLast: 1, maximumBackups: 1 })).toBe('yz');
});

test('each verdict says why', () => {
  const verdicts = judge([aged('a', 9), aged('b', 1, { pinned: true })], { keepLast: 1, keepDays: 3 }, NOW);
  expect(verdicts).toEqual([
    { name: 'a', keep: false, reasons: ['no rule keeps it'] },
    { name: 'b', keep: true, reasons: ['pinned', 'last 1 of 1', 'within 3 days'] },
  ]);
});

const backups = fc
  .uniqueArray(fc.record({ age: fc.integer({ min: -3, max: 60 }), pinned: fc.boolean(), whole: fc.boolean() }), {
    selector: ({ age }) => age,
    maxLength: 20,
  })
  .map((all) =>
    all.map(({ age, pinned, whole }) => aged(`${age}`, age, { pinned, ...(whole ? {} : { partial: ['n'] }) })),
  );
const count = fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined });
const policies = fc
  .record({ keepLast: count, minimumBackups: count, maximumBackups: count, keepDays: count })
  .map(
    (policy) =>
      Object.fromEntries(Object.entries(policy).filter(([, value]) => value !== undefined)) as RetentionPolicy,
  );

describe('whatever the backups and the rules,', () => {
  const staying = (all: Judged[], policy: RetentionPolicy): Judged[] => {
    const names = new Set(judge(all, policy, NOW).flatMap(({ name, keep }) => (keep ? [name] : [])));
    return all.filter(({ name }) => names.has(name));
  };

  test('judging what was kept again removes nothing', () => {
    fc.assert(
      fc.property(backups, policies, (all, policy) => {
        const once = staying(all, policy);
        expect(staying(once, policy)).toEqual(once);
      }),
    );
  });

  test('pins, the future, and the minimum are never touched', () => {
    fc.assert(
      fc.property(backups, policies, (all, policy) => {
        const stay = staying(all, policy);
        for (const backup of all)
          if (backup.pinned || Date.parse(backup.finished) > NOW) expect(stay).toContain(backup);
        const complete = all.filter(({ partial }) => !partial);
        const least = Math.min(policy.minimumBackups ?? 0, complete.length);
        expect(stay.filter(({ partial }) => !partial).length).toBeGreaterThanOrEqual(least);
      }),
    );
  });

  test('a rule that keeps more never keeps fewer', () => {
    fc.assert(
      fc.property(
        backups,
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 0, max: 40 }),
        (all, keepLast, keepDays) => {
          const more = staying(all, { keepLast: keepLast + 1, keepDays: keepDays + 5 });
          for (const backup of staying(all, { keepLast, keepDays })) expect(more).toContain(backup);
        },
      ),
    );
  });
});
