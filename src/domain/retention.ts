/** Which backups stay: one pure function, with the clock as an argument. */

export interface RetentionPolicy {
  /** The newest so many stay. */
  keepLast?: number;
  /** Nothing goes below so many. */
  minimumBackups?: number;
  /** The oldest beyond so many go, unless they are held. */
  maximumBackups?: number;
  /** What is not older than so many whole days stays. */
  keepDays?: number;
}

/** What is judged of a backup. */
export interface Judged {
  name: string;
  /** ISO 8601 */
  finished: string;
  pinned: boolean;
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
 * The verdict on each backup, in the order given. What stays is the union of what the rules, the minimum and the pins keep;
 * `maximumBackups` then cuts the oldest that are not held, never below the minimum; it counts complete and partial ones
 * apart. A partial one that is newer than every complete one stays as a complete one would, until there is one. Nothing
 * from the future goes, and without a rule everything stays. `options.delete` lets backups go by name: no rule keeps them, a pin does.
 */
export function judge(
  backups: readonly Judged[],
  policy: RetentionPolicy,
  now: number,
  options: { delete?: readonly string[] } = {},
): Verdict[] {
  const reasons = new Map<Judged, string[]>(backups.map((backup) => [backup, []]));
  const keep = (backup: Judged, reason: string): void => void reasons.get(backup)?.push(reason);
  const newestFirst = backups.toSorted(
    (a, b) => Date.parse(b.finished) - Date.parse(a.finished) || (a.name < b.name ? 1 : -1),
  );
  const complete = newestFirst.filter(({ partial }) => !partial?.length);

  for (const backup of backups) if (backup.pinned) keep(backup, 'pinned');
  let gone = '';
  if (options.delete !== undefined) {
    const named = new Set(options.delete);
    for (const backup of backups) if (!named.has(backup.name)) keep(backup, 'not named');
    gone = 'named for deletion';
  } else {
    gone = applyRules(newestFirst, complete, policy, now, keep, reasons);
  }
  keepRequired(backups, reasons);
  return backups.map((backup) => {
    const why = reasons.get(backup) as string[];
    return { name: backup.name, keep: why.length > 0, reasons: why.length > 0 ? why : [gone] };
  });
}

type Keep = (backup: Judged, reason: string) => void;

function applyRules(
  newestFirst: readonly Judged[],
  complete: readonly Judged[],
  { keepLast, minimumBackups, maximumBackups, keepDays }: RetentionPolicy,
  now: number,
  keep: Keep,
  reasons: Map<Judged, string[]>,
): string {
  const least = minimumBackups ?? 0;
  const kept = (backup: Judged): boolean => (reasons.get(backup) as string[]).length > 0;
  for (const [place, backup] of complete.entries()) if (place < least) keep(backup, `minimum ${place + 1} of ${least}`);
  for (const backup of newestFirst) if (Date.parse(backup.finished) > now) keep(backup, 'from the future');
  const held = newestFirst.filter(kept);
  if (keepLast !== undefined) {
    for (const [place, backup] of complete.entries())
      if (place < keepLast) keep(backup, `last ${place + 1} of ${keepLast}`);
    // All that there is of its time: a node that is down for long must not cost the others what they have.
    const newest = complete[0] ? newestFirst.slice(0, newestFirst.indexOf(complete[0])) : newestFirst;
    for (const backup of newest.slice(0, keepLast)) keep(backup, 'partial, newer than every complete one');
  }
  if (keepDays !== undefined) {
    for (const backup of newestFirst) {
      if (Math.floor((now - Date.parse(backup.finished)) / DAY) <= keepDays) keep(backup, `within ${keepDays} days`);
    }
  }
  const noRule = keepLast === undefined && keepDays === undefined;
  if (noRule) for (const backup of newestFirst) if (!kept(backup)) keep(backup, 'no rule lets it go');
  if (maximumBackups === undefined) return 'no rule keeps it';
  const most = Math.max(maximumBackups, least);
  for (const isPartial of [false, true]) {
    const staying = newestFirst.filter((backup) => kept(backup) && complete.includes(backup) !== isPartial);
    let excess = staying.length - most;
    for (const backup of staying.toReversed()) {
      if (excess <= 0) break;
      if (held.includes(backup)) continue;
      reasons.set(backup, []);
      excess--;
    }
  }
  return noRule ? `beyond the maximum of ${maximumBackups}` : 'no rule keeps it, or it is beyond the maximum';
}

/** What a kept backup cannot do without stays, too. */
function keepRequired(backups: readonly Judged[], reasons: Map<Judged, string[]>): void {
  const byName = new Map(backups.map((backup) => [backup.name, backup]));
  const open = backups.filter((backup) => (reasons.get(backup) as string[]).length > 0);
  for (let backup = open.pop(); backup !== undefined; backup = open.pop()) {
    for (const name of backup.requires ?? []) {
      const base = byName.get(name);
      const why = base && reasons.get(base);
      if (base === undefined || why === undefined) continue;
      if (why.length === 0) open.push(base);
      const reason = `required by ${backup.name}`;
      if (!why.includes(reason)) why.push(reason);
    }
  }
}
