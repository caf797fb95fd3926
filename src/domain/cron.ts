/** Times as cron writes them, as far as Temporal's schedules take them: five fields, or a word such as `@daily`. */

const WORDS = /^@(yearly|annually|monthly|weekly|daily|midnight|hourly)$/;
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

interface Field {
  name: string;
  least: number;
  most: number;
  /** Names of the values from `least` on. */
  words?: readonly string[];
}

const FIELDS: readonly Field[] = [
  { name: 'minute', least: 0, most: 59 },
  { name: 'hour', least: 0, most: 23 },
  { name: 'day of the month', least: 1, most: 31 },
  { name: 'month', least: 1, most: 12, words: MONTHS },
  { name: 'day of the week', least: 0, most: 7, words: DAYS },
];

/** What is wrong with it; undefined when it is right. */
export function cronFault(text: string): string | undefined {
  if (WORDS.test(text.trim())) return undefined;
  const given = text.trim().split(/\s+/);
  if (given.length !== FIELDS.length) {
    return `"${text}" has ${given.length} fields: give minute, hour, day of the month, month, day of the week, e.g. "30 3 * * *"`;
  }
  return FIELDS.map((field, place) => fieldFault(field, given[place] as string)).find((fault) => fault !== undefined);
}

function fieldFault(field: Field, text: string): string | undefined {
  const wrong = text.split(',').find((part) => !isPart(field, part));
  if (wrong === undefined) return undefined;
  return `"${wrong}" is no ${field.name}: give numbers from ${field.least} to ${field.most}, ranges (1-5), lists (1,15), steps (*/10), or *`;
}

function isPart(field: Field, part: string): boolean {
  const [, from = '', to, step] = /^(\*|[a-z\d]+)(?:-([a-z\d]+))?(?:\/(\d+))?$/i.exec(part) ?? [];
  if (from === '' || (step !== undefined && Number(step) < 1)) return false;
  if (from === '*') return to === undefined;
  const [first, last] = [numberOf(field, from), to === undefined ? undefined : numberOf(field, to)];
  return first !== undefined && (to === undefined || (last !== undefined && last >= first));
}

function numberOf({ least, most, words = [] }: Field, text: string): number | undefined {
  const word = words.indexOf(text.toLowerCase());
  if (word >= 0) return word + least;
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return number >= least && number <= most ? number : undefined;
}
