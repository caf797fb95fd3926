import { z } from 'zod';
import { isTimeZone } from './domain/calendar.ts';
import { cronFault } from './domain/cron.ts';
import type { ReadData } from './domain/requests.ts';
import type { ScheduleDefinition } from './domain/schedules.ts';
import { parseShare, parseSize } from './domain/size.ts';
import { fields } from './plugins/fields.ts';

/** `schedules` of a configuration: what operators may say, and what it means. */

const { text, path, duration } = fields(z);

const percent = z
  .string({ error: 'give a share such as 10%' })
  .meta({ description: 'a share such as 10%' })
  .transform((value, context) => {
    try {
      return parseShare(value) * 100;
    } catch (error) {
      context.addIssue((error as Error).message);
      return z.NEVER;
    }
  })
  .refine((value) => value > 0 && value <= 100, 'give a share from 1% to 100%');

/** `all`, a share or a size. */
const readData = z
  .string({ error: 'give all, a share such as 10%, or a size such as 5GiB' })
  .meta({ description: '`all`, a share such as 10%, or a size such as 5GiB' })
  .transform((value, context): ReadData => {
    try {
      if (value === 'all') return { percent: 100 };
      return value.endsWith('%') ? { percent: parseShare(value) * 100 } : { bytes: parseSize(value) };
    } catch (error) {
      context.addIssue((error as Error).message);
      return z.NEVER;
    }
  });

const cron = text
  .superRefine((value, context) => {
    const fault = cronFault(value);
    if (fault !== undefined) context.addIssue(fault);
  })
  .meta({ description: 'a cron line such as `30 3 * * *`' });

const when = {
  cron: cron.optional(),
  every: duration(60_000).optional(),
  timeZone: z.string().refine(isTimeZone, 'give the name of a time zone such as Europe/Berlin').default('UTC'),
  jitter: duration(1_000).default(0),
  catchUp: duration(10_000).default(6 * 3_600_000),
  waitForLock: duration(0).default(1_800_000),
  storage: text.optional(),
};

const kinds = z.discriminatedUnion(
  'operation',
  [
    z.strictObject({
      operation: z.literal('backup'),
      ...when,
      label: z.string().max(200).optional(),
      allowMissing: z.number().int().min(0).max(10_000).optional(),
    }),
    z.strictObject({ operation: z.literal('cleanup'), ...when }),
    z.strictObject({ operation: z.literal('verify'), ...when, readData: readData.optional() }),
    z.strictObject({
      operation: z.literal('drill'),
      ...when,
      percent: percent.optional(),
      node: text.optional(),
      directory: path.optional(),
      check: z.boolean().optional(),
    }),
  ],
  { error: 'operation must be backup, cleanup, verify or drill' },
);

export const schedule = kinds.refine(
  (one) => (one.cron === undefined) !== (one.every === undefined),
  'give cron, e.g. "30 3 * * *", or every, e.g. 6h: one of them',
);

export type ScheduleFields = z.output<typeof schedule>;

export function scheduleDefinition(name: string, fields: ScheduleFields): ScheduleDefinition {
  const { operation, cron: line, every, timeZone, jitter, catchUp, ...asked } = fields;
  const request = Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined));
  const times = line === undefined ? { every: every as number } : { cron: line };
  return { name, operation, request, times, timeZone, jitter, catchUp };
}
