import { InvalidArgumentError, Option } from 'commander';
import { isSpan, isTimeZone } from '../domain/calendar.ts';
import { parseDuration } from '../domain/duration.ts';
import type { ReadData, RestorePair } from '../domain/requests.ts';
import { UNLIMITED } from '../domain/retention.ts';
import { parseShare, parseSize } from '../domain/size.ts';

/** Options that several commands have, and what is accepted as their values. */

export const storageOption = (): Option =>
  new Option('--storage <name>', 'a storage of the configuration, not the default one');

export const yesOption = (): Option => new Option('-y, --yes', 'do not ask');

export const waitOptions = (): Option[] => [
  new Option('--wait-for-lock <duration>', 'wait so long for a lock that somebody else holds, e.g. 10m').argParser(
    duration,
  ),
  noWaitOption(),
];

export const noWaitOption = (): Option =>
  new Option('--no-wait', 'print the id of the operation and leave it to itself');

export const pathOption = (): Option =>
  new Option('--path <glob>', 'only what matches, and what is below it; may be repeated').argParser(collect);

export const nodeOption = (): Option => new Option('--node <id>', 'only this node; may be repeated').argParser(collect);

/** Of `--map`: `backupNode=node`. */
export function pair(value: string, former: RestorePair[] = []): RestorePair[] {
  const [, from, to] = /^([^=]+)=([^=]+)$/.exec(value) ?? [];
  if (from === undefined || to === undefined)
    throw new InvalidArgumentError('Give a node of the backup and a node of the cluster, e.g. old1=db1.');
  return [...former, { from, to }];
}

/** Of an option that may be given several times, and takes one value each time. */
export const collect = (value: string, former: string[] = []): string[] => [...former, value];

/** e.g. `90s`, `10m`, `1h`, in ms. */
export const duration = (text: string): number => understood(parseDuration, text);

/** e.g. `10GiB`, in bytes. */
export const size = (text: string): number => understood(parseSize, text);

/** e.g. `5%`, as 0.05. */
export const share = (text: string): number => understood(parseShare, text);

/** e.g. `10%`, as 10. */
export function percent(text: string): number {
  const value = share(text) * 100;
  if (!(value > 0 && value <= 100)) throw new InvalidArgumentError('Give a share from 1% to 100%.');
  return value;
}

export function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Give a whole number that is not negative.');
  return Number(text);
}

/** Of a rule of retention: how many it keeps. */
export const keepCount = (text: string): number => (text === 'unlimited' ? UNLIMITED : count(text));

export function span(text: string): string {
  if (!isSpan(text)) throw new InvalidArgumentError('Give a span such as 1y6m, 14d or 36h.');
  return text;
}

export function timeZone(text: string): string {
  if (!isTimeZone(text)) throw new InvalidArgumentError('Give the name of a time zone such as Europe/Berlin.');
  return text;
}

function understood(parse: (text: string) => number, text: string): number {
  try {
    return parse(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

const TIME = /^\d{4}-\d\d-\d\d([T ]\d\d[:-]\d\d([:-]\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/;

const SIZE = /^(\d+(?:\.\d+)?)\s*(%|[KMGT]?(?:i?B)?)$/;
const UNITS = ['', 'K', 'M', 'G', 'T'];

/** `10%`, or `5GiB` (units of 1024); all without a value. */
export function readData(text: string): ReadData {
  const [, number, unit = ''] = SIZE.exec(text) ?? [];
  const value = Number(number);
  if (unit === '%' && value <= 100) return { percent: value };
  if (number === undefined || unit === '%')
    throw new InvalidArgumentError('Give a share such as 10%, or a size such as 5GiB.');
  return { bytes: Math.round(value * 1024 ** UNITS.indexOf(unit.replace(/i?B$/, ''))) };
}

/** A time of ISO 8601, in UTC where it names no zone; a backup's name is one too. */
export function time(text: string): string {
  const [date = '', clock] = TIME.test(text) ? text.split(/[T ]/) : [];
  const zone = /(Z|[+-]\d\d:?\d\d)$/.exec(clock ?? '')?.[0] ?? '';
  const hours = (clock ?? '00:00').slice(0, clock ? clock.length - zone.length : undefined).replaceAll('-', ':');
  const ms = Date.parse(`${date}T${hours}${zone || 'Z'}`);
  if (Number.isNaN(ms)) throw new InvalidArgumentError('Give a time such as 2026-11-24T03:00:00Z.');
  return new Date(ms).toISOString();
}
