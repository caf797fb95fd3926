import type { Period } from './calendar.ts';
import { before, periodOf, periods, wallTime } from './calendar.ts';

/** Which backups stay: one pure function, with the clock as an argument. */

type Capital<P extends Period> = Capitalize<P>;

/** How many of the newest periods keep their newest backup, as restic counts; `UNLIMITED` for all. */
type Counts = { [P in Period as `keep${Capital<P>}`]?: number };
/** How far back from the newest backup each period keeps its newest one: a span such as `1y6m`. */
type Spans = { [P in Period as `keepWithin${Capital<P>}`]?: string };

export interface RetentionPolicy extends Counts, Spans {
  /** The newest so many stay. */
  keepLast?: number;
  /** What is not older than the newest by more than this span stays. */
  keepWithin?: string;
  /** Nothing goes below so many. */
  minimumBackups?: number;
  /** The oldest beyond so many go, unless they are held. */
  maximumBackups?: number;
  /** What is not older than so many whole days stays. */
  keepDays?: number;
  /** IANA name of the zone whose hours, days, weeks, months and years count; UTC without. */
  timeZone?: string;
}

export const UNLIMITED = -1;

const capital = <P extends Period>(period: P): Capital<P> =>
  `${period[0]?.toUpperCase()}${period.slice(1)}` as Capital<P>;
export const countFields = periods.map((period) => `keep${capital(period)}` as const);
export const spanFields = ['keepWithin', ...periods.map((period) => `keepWithin${capital(period)}` as const)] as const;

export const policyFields = [
  'keepLast',
  'keepDays',
  'minimumBackups',
  'maximumBackups',
  'timeZone',
  ...countFields,
  ...spanFields,
] as const satisfies (keyof RetentionPolicy)[];

/** What is judged of a backup. */
export interface Judged {
  name: string;
  /** ISO 8601 */
  finished: string;
  /** No rule removes it: `until` a time (ISO 8601), or for good. */
  held?: { until: string | null } | undefined;
  /** Nodes that are missing in it: a partial backup is never counted as a complete one. */
  partial?: readonly string[];
  /** Backups that it cannot do without. */
  requires?: readonly string[];
}

export interface Verdict {
  name: string;
  keep: boolean;
  /** Of keeping it, or of letting it go. */
  reasons: string[];
}

const DAY = 86_400_000;

/**
 * The verdict on each backup, in the order given. What stays is the union of what the rules, the minimum and the marks keep;
 * `maximumBackups` then cuts the oldest that are not held, never below the minimum; it counts complete and partial ones
 * apart. A partial one that is newer than every complete one stays as a complete one would, until there is one. Nothing
 * from the future goes, and without a rule everything stays. `options.delete` lets backups go by name: no rule keeps them, a mark does.
 */
export function judge(
  backups: readonly Judged[],
  policy: RetentionPolicy,
  now: number,
  options: { delete?: readonly string[] } = {},
): Verdict[] {
  const verdict = new Reasons(backups);
  for (const backup of backups) {
    const { held } = backup;
    if (held && !(held.until !== null && Date.parse(held.until) <= now)) {
      verdict.keep(backup, held.until === null ? 'pinned' : `pinned until ${held.until}`);
    }
  }
  let gone = 'named for deletion';
  if (options.delete === undefined) {
    gone = applyRules(verdict, policy, now);
  } else {
    const named = new Set(options.delete);
    for (const backup of backups) if (!named.has(backup.name)) verdict.keep(backup, 'not named');
  }
  verdict.keepRequired();
  return backups.map((backup) => {
    const why = verdict.of(backup);
    return { name: backup.name, keep: why.length > 0, reasons: why.length > 0 ? why : [gone] };
  });
}

/** Why backups stay, as far as it is known. */
class Reasons {
  readonly newestFirst: readonly Judged[];
  readonly #why: Map<Judged, string[]>;

  constructor(backups: readonly Judged[]) {
    this.#why = new Map(backups.map((backup) => [backup, []]));
    this.newestFirst = backups.toSorted(
      (a, b) => Date.parse(b.finished) - Date.parse(a.finished) || (a.name < b.name ? 1 : -1),
    );
  }

  of(backup: Judged): string[] {
    return this.#why.get(backup) as string[];
  }

  keep(backup: Judged, reason: string): void {
    this.of(backup).push(reason);
  }

  drop(backup: Judged): void {
    this.#why.set(backup, []);
  }

  kept(): Judged[] {
    return this.newestFirst.filter((backup) => this.of(backup).length > 0);
  }

  /** What a kept backup cannot do without stays, too. */
  keepRequired(): void {
    const byName = new Map(this.newestFirst.map((backup) => [backup.name, backup]));
    const open = this.kept();
    for (let backup = open.pop(); backup !== undefined; backup = open.pop()) {
      for (const name of backup.requires ?? []) {
        const base = byName.get(name);
        if (base === undefined) continue;
        if (this.of(base).length === 0) open.push(base);
        const reason = `required by ${backup.name}`;
        if (!this.of(base).includes(reason)) this.keep(base, reason);
      }
    }
  }
}

/** Answers why a backup that nothing keeps goes. */
function applyRules(verdict: Reasons, policy: RetentionPolicy, now: number): string {
  const { newestFirst } = verdict;
  const complete = newestFirst.filter(({ partial }) => !partial?.length);
  const least = policy.minimumBackups ?? 0;
  for (const [place, backup] of complete.slice(0, least).entries()) {
    verdict.keep(backup, `minimum ${place + 1} of ${least}`);
  }
  for (const backup of newestFirst) if (Date.parse(backup.finished) > now) verdict.keep(backup, 'from the future');
  const held = new Set(verdict.kept());

  keepCounted(verdict, complete, policy);
  keepWithinSpans(verdict, complete, policy, now);
  keepNewerPartial(verdict, complete, policy);
  const { keepDays } = policy;
  if (keepDays !== undefined) {
    for (const backup of newestFirst) {
      const days = Math.floor((now - Date.parse(backup.finished)) / DAY);
      if (days <= keepDays) verdict.keep(backup, `within ${keepDays} days`);
    }
  }
  const rules = ['keepLast', 'keepDays', ...countFields, ...spanFields] as const;
  const noRule = rules.every((rule) => policy[rule] === undefined);
  if (noRule)
    for (const backup of newestFirst) if (!verdict.of(backup).length) verdict.keep(backup, 'no rule lets it go');

  const { maximumBackups } = policy;
  if (maximumBackups === undefined) return 'no rule keeps it';
  for (const isPartial of [false, true]) {
    const staying = verdict.kept().filter((backup) => complete.includes(backup) !== isPartial);
    let excess = staying.length - Math.max(maximumBackups, least);
    for (const backup of staying.toReversed()) {
      if (excess <= 0) break;
      if (held.has(backup)) continue;
      verdict.drop(backup);
      excess--;
    }
  }
  return noRule ? `beyond the maximum of ${maximumBackups}` : 'no rule keeps it, or it is beyond the maximum';
}

/**
 * restic's count rules (doc/060_forget.rst, snapshot_policy.go): from the newest to the oldest, each rule keeps a backup whose
 * period is another than that of the one it kept last, until its count is used up. While a count is left, the oldest stays.
 */
function keepCounted(verdict: Reasons, complete: readonly Judged[], policy: RetentionPolicy): void {
  const zone = policy.timeZone ?? 'UTC';
  const count = (name: string, most: number | undefined, bucketOf: (backup: Judged) => unknown): void => {
    if (most === undefined) return;
    let last: unknown;
    let used = 0;
    for (const [place, backup] of complete.entries()) {
      if (most !== UNLIMITED && used >= most) return;
      const bucket = bucketOf(backup);
      const isNew = used === 0 || bucket !== last;
      if (!isNew && place < complete.length - 1) continue;
      last = bucket;
      used++;
      const numbered = most === UNLIMITED ? `${name} ${used}` : `${name} ${used} of ${most}`;
      verdict.keep(backup, isNew ? numbered : `oldest ${name}`);
    }
  };
  count('last', policy.keepLast, ({ name }) => name);
  for (const period of periods) {
    count(period, policy[`keep${capital(period)}`], ({ finished }) =>
      periodOf(wallTime(Date.parse(finished), zone), period),
    );
  }
}

/** The same by spans, back from the newest complete backup that is not from the future, not from now. */
function keepWithinSpans(verdict: Reasons, complete: readonly Judged[], policy: RetentionPolicy, now: number): void {
  const zone = policy.timeZone ?? 'UTC';
  const wall = ({ finished }: Judged): number => wallTime(Date.parse(finished), zone);
  const newest = complete.find(({ finished }) => Date.parse(finished) <= now);
  const keep = (span: string | undefined, reason: string, bucketOf: (backup: Judged) => unknown): void => {
    if (span === undefined) return;
    const start = newest === undefined ? Number.NEGATIVE_INFINITY : before(wall(newest), span);
    let last: unknown;
    for (const [place, backup] of complete.entries()) {
      if (wall(backup) <= start) return;
      const bucket = bucketOf(backup);
      const isNew = place === 0 || bucket !== last;
      if (!isNew && place < complete.length - 1) continue;
      last = bucket;
      verdict.keep(backup, isNew ? reason : `oldest ${reason}`);
    }
  };
  keep(policy.keepWithin, `within ${policy.keepWithin}`, ({ name }) => name);
  for (const period of periods) {
    const span = policy[`keepWithin${capital(period)}`];
    keep(span, `${period} within ${span}`, (backup) => periodOf(wall(backup), period));
  }
}

/** All that there is of its time: a node that is down for long must not cost the others what they have. */
function keepNewerPartial(verdict: Reasons, complete: readonly Judged[], policy: RetentionPolicy): void {
  if (![...countFields, ...spanFields, 'keepLast' as const].some((rule) => policy[rule] !== undefined)) return;
  const [newest] = complete;
  const newer = newest ? verdict.newestFirst.slice(0, verdict.newestFirst.indexOf(newest)) : verdict.newestFirst;
  const { keepLast = 1 } = policy;
  for (const backup of keepLast === UNLIMITED ? newer : newer.slice(0, keepLast)) {
    verdict.keep(backup, 'partial, newer than every complete one');
  }
}
