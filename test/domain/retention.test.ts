import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Judged, RetentionPolicy } from '../../src/domain/retention.ts';
import { judge, UNLIMITED } from '../../src/domain/retention.ts';

const NOW = Date.parse('2026-11-24T12:00:00Z');
const DAY = 86_400_000;

const aged = (name: string, days: number, more: Partial<Judged> = {}): Judged => ({
  name,
  finished: new Date(NOW - days * DAY).toISOString(),
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
    const backups = week.map((backup) => (backup.name === 'a' ? { ...backup, held: { until: null } } : backup));
    expect(kept(backups, { keepLast: 1 })).toBe('ag');
    expect(kept(backups, { maximumBackups: 1 })).toBe('a');
    expect(kept(backups, {}, { delete: ['a', 'b'] })).toBe('acdefg');
  });

  test('one that is pinned until a time stays until then', () => {
    const until = new Date(NOW + DAY).toISOString();
    const backups = [aged('a', 9, { held: { until } }), aged('b', 1)];
    expect(judge(backups, { keepLast: 1 }, NOW)[0]).toEqual({
      name: 'a',
      keep: true,
      reasons: [`pinned until ${until}`],
    });
    expect(judge(backups, { keepLast: 1 }, NOW + DAY)[0]).toMatchObject({ keep: false });
  });

  test('a partial one takes no place of a complete one, and goes when there is a newer one of those', () => {
    const partial = (...names: string[]) =>
      week.map((backup) => (names.includes(backup.name) ? { ...backup, partial: ['n1'] } : backup));
    expect(kept(partial('g'), { keepLast: 2 })).toBe('efg');
    expect(kept(partial('g'), { keepDaily: 2 })).toBe('efg');
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

/** Names are times: `2026-01-31T05`. */
const at = (...times: string[]): Judged[] => times.map((name) => ({ name, finished: `${name}:00:00.000Z` }));
const reasons = (backups: Judged[], policy: RetentionPolicy): Record<string, string[]> =>
  Object.fromEntries(
    judge(backups, policy, NOW).flatMap(({ name, keep, reasons: why }) => (keep ? [[name, why]] : [])),
  );

describe('rules that count periods', () => {
  const days = at('2026-11-20T01', '2026-11-20T23', '2026-11-21T05', '2026-11-23T04', '2026-11-23T09');

  test('keep the newest of each period that has one, and number it', () => {
    expect(reasons(days, { keepDaily: 2 })).toEqual({
      '2026-11-21T05': ['daily 2 of 2'],
      '2026-11-23T09': ['daily 1 of 2'],
    });
  });

  test('keep the oldest as well while their count is not used up', () => {
    expect(reasons(days, { keepDaily: 4 })).toEqual({
      '2026-11-20T01': ['oldest daily'],
      '2026-11-20T23': ['daily 3 of 4'],
      '2026-11-21T05': ['daily 2 of 4'],
      '2026-11-23T09': ['daily 1 of 4'],
    });
    expect(Object.keys(reasons(days, { keepDaily: 3 }))).not.toContain('2026-11-20T01');
  });

  test('count each for itself, and one backup for several', () => {
    expect(reasons(days, { keepLast: 1, keepHourly: 1, keepYearly: 1 })).toEqual({
      '2026-11-23T09': ['last 1 of 1', 'hourly 1 of 1', 'yearly 1 of 1'],
    });
  });

  test('may be without a limit', () => {
    expect(reasons(days, { keepMonthly: UNLIMITED })).toEqual({
      '2026-11-20T01': ['oldest monthly'],
      '2026-11-23T09': ['monthly 1'],
    });
  });

  test('take weeks from Monday on, over the turn of a year too', () => {
    // Sunday, Monday; and the days around New Year are of week 53.
    const weeks = at(
      '2026-11-15T23',
      '2026-11-16T00',
      '2026-12-27T12',
      '2026-12-31T12',
      '2027-01-03T12',
      '2027-01-04T12',
    );
    const later = (all: Judged[], policy: RetentionPolicy): string[] =>
      judge(all, policy, Date.parse('2027-02-01')).flatMap(({ name, keep }) => (keep ? [name] : []));
    expect(later(weeks, { keepWeekly: 4 })).toEqual([
      '2026-11-16T00',
      '2026-12-27T12',
      '2027-01-03T12',
      '2027-01-04T12',
    ]);
  });

  test('take the days of the zone that is configured', () => {
    // Midnight in Berlin is 23:00 UTC in winter.
    const night = at('2026-11-20T22', '2026-11-20T23');
    expect(Object.keys(reasons(night, { keepDaily: 1 }))).toEqual(['2026-11-20T23']);
    expect(Object.keys(reasons([...at('2026-11-19T00'), ...night], { keepDaily: 2 }))).toEqual([
      '2026-11-19T00',
      '2026-11-20T23',
    ]);
    expect(
      Object.keys(reasons([...at('2026-11-19T00'), ...night], { keepDaily: 2, timeZone: 'Europe/Berlin' })),
    ).toEqual(['2026-11-20T22', '2026-11-20T23']);
  });
});

describe('rules that look back over a span', () => {
  const months = at(
    '2026-01-31T12',
    '2026-08-22T12',
    '2026-08-24T12',
    '2026-09-01T00',
    '2026-10-30T12',
    '2026-11-24T11',
  );

  test('begin at the newest backup, not now, and do not take what is just as old', () => {
    expect(reasons(at('2026-03-01T00', '2026-03-02T00', '2026-03-03T00'), { keepWithin: '2d' })).toEqual({
      '2026-03-02T00': ['within 2d'],
      '2026-03-03T00': ['within 2d'],
    });
  });

  test('go by the calendar', () => {
    expect(Object.keys(reasons(months, { keepWithin: '3m1h' }))).toEqual([
      '2026-08-24T12',
      '2026-09-01T00',
      '2026-10-30T12',
      '2026-11-24T11',
    ]);
    // The 31st of June is the 1st of July.
    const ends = at('2026-06-30T12', '2026-07-01T12', '2026-07-02T00', '2026-07-31T12');
    expect(Object.keys(reasons(ends, { keepWithin: '1m' }))).toEqual(['2026-07-02T00', '2026-07-31T12']);
  });

  test('may keep the newest of each period only', () => {
    expect(reasons(months, { keepWithinMonthly: '4m' })).toEqual({
      '2026-08-24T12': ['monthly within 4m'],
      '2026-09-01T00': ['monthly within 4m'],
      '2026-10-30T12': ['monthly within 4m'],
      '2026-11-24T11': ['monthly within 4m'],
    });
  });
});

test('what comes from the future is not removed', () => {
  expect(kept([...week, aged('y', -1), aged('z', -2)], { keepLast: 1, maximumBackups: 1 })).toBe('yz');
});

test('each verdict says why', () => {
  const verdicts = judge([aged('a', 9), aged('b', 1, { held: { until: null } })], { keepLast: 1, keepDays: 3 }, NOW);
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
    all.map(({ age, pinned, whole }) =>
      aged(`${age}`, age, { ...(pinned ? { held: { until: null } } : {}), ...(whole ? {} : { partial: ['n'] }) }),
    ),
  );
const count = fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined });
const spans = fc.constantFrom(undefined, '1y', '1m', '9d', '1m3d', '50h');
const policies = fc
  .record({
    keepLast: count,
    keepHourly: count,
    keepDaily: count,
    keepWeekly: count,
    keepMonthly: count,
    keepYearly: count,
    keepWithin: spans,
    keepWithinDaily: spans,
    keepWithinMonthly: spans,
    minimumBackups: count,
    maximumBackups: count,
    keepDays: count,
    timeZone: fc.constantFrom(undefined, 'UTC', 'America/St_Johns', 'Pacific/Kiritimati'),
  })
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
        for (const backup of all) if (backup.held || Date.parse(backup.finished) > NOW) expect(stay).toContain(backup);
        const complete = all.filter(({ partial }) => !partial);
        const least = Math.min(policy.minimumBackups ?? 0, complete.length);
        expect(stay.filter(({ partial }) => !partial).length).toBeGreaterThanOrEqual(least);
      }),
    );
  });

  test('more rules, and rules that keep more, never keep fewer', () => {
    fc.assert(
      fc.property(backups, policies, policies, (list, policy, other) => {
        const { maximumBackups: _most, timeZone: _zone, ...rules } = policy;
        const { maximumBackups: _more, timeZone: _other, ...further } = other;
        // What both name counts by the greater.
        const both = { ...further, ...rules } as Record<string, number | string>;
        for (const [name, value] of Object.entries(further)) {
          const own = rules[name as keyof typeof rules];
          if (typeof value === 'number' && typeof own === 'number') both[name] = Math.max(value, own);
        }
        const isRule = (name: string): boolean => name.startsWith('keep');
        fc.pre(Object.keys(rules).some(isRule));
        const more = staying(list, both as RetentionPolicy);
        for (const backup of staying(list, rules)) expect(more).toContain(backup);
      }),
    );
  });
});
