/** Periods of a calendar in a time zone: what retention counts by. */

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const DAYS_PER_WEEK = 7;
/** 1970-01-01 was a Thursday: so many days after a Monday. */
const EPOCH_WEEKDAY = 3;

export const periods = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
export type Period = (typeof periods)[number];

const formats = new Map<string, Intl.DateTimeFormat>();

/** What a clock on the wall shows in `zone` (an IANA name), as the ms of the same reading in UTC; `instant`: ms since 1970. */
export function wallTime(instant: number, zone: string): number {
  if (zone === 'UTC') return instant;
  let format = formats.get(zone);
  if (format === undefined) {
    const digits = { year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric' } as const;
    format = new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', second: 'numeric', ...digits });
    formats.set(zone, format);
  }
  const parts = format.formatToParts(instant);
  const part = (type: Intl.DateTimeFormatPartTypes): number => Number(parts.find((one) => one.type === type)?.value);
  const ms = ((instant % 1000) + 1000) % 1000;
  return Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second')) + ms;
}

export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** The number of the period that a wall time is in; weeks are those of ISO 8601, from Monday on. */
export function periodOf(wall: number, period: Period): number {
  const date = new Date(wall);
  switch (period) {
    case 'hourly':
      return Math.floor(wall / HOUR);
    case 'daily':
      return Math.floor(wall / DAY);
    case 'weekly':
      return Math.floor((Math.floor(wall / DAY) + EPOCH_WEEKDAY) / DAYS_PER_WEEK);
    case 'monthly':
      return date.getUTCFullYear() * 12 + date.getUTCMonth();
    case 'yearly':
      return date.getUTCFullYear();
  }
}

/** A stretch of the calendar as restic writes it: `2y5m7d3h`, each part optional; `m` is a month. */
const SPAN = /^(?=\d)(?:(\d{1,4})y)?(?:(\d{1,4})m)?(?:(\d{1,5})d)?(?:(\d{1,6})h)?$/;

export const isSpan = (text: string): boolean => SPAN.test(text);

/** The wall time that lies `span` before another one. A day that the month does not have counts into the next month. */
export function before(wall: number, span: string): number {
  const [years = 0, months = 0, days = 0, hours = 0] = (SPAN.exec(span) ?? [])
    .slice(1)
    .map((text) => Number(text ?? 0));
  const date = new Date(wall);
  return Date.UTC(
    date.getUTCFullYear() - years,
    date.getUTCMonth() - months,
    date.getUTCDate() - days,
    date.getUTCHours() - hours,
    date.getUTCMinutes(),
    date.getUTCSeconds(),
    date.getUTCMilliseconds(),
  );
}
