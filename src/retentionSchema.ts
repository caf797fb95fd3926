import { z } from 'zod';
import { isSpan, isTimeZone } from './domain/calendar.ts';
import { UNLIMITED } from './domain/retention.ts';

/** The rules of retention as operators write them, in the configuration and in requests. */

const whole = (least: number, most: number) => z.number().int().min(least).max(most);
const keepCount = z
  .union([whole(1, 1e6), z.literal('unlimited').transform(() => UNLIMITED)], {
    error: 'give a number from 1 on, or unlimited',
  })
  .optional();
const span = z
  .string()
  .min(1, 'must not be empty')
  .refine(isSpan, 'give a span such as 1y6m, 14d or 36h (y years, m months, d days, h hours)')
  .meta({ description: 'a span such as 1y6m, 14d or 36h' })
  .optional();

export const retentionFields = {
  keepLast: keepCount,
  keepHourly: keepCount,
  keepDaily: keepCount,
  keepWeekly: keepCount,
  keepMonthly: keepCount,
  keepYearly: keepCount,
  keepWithin: span,
  keepWithinHourly: span,
  keepWithinDaily: span,
  keepWithinWeekly: span,
  keepWithinMonthly: span,
  keepWithinYearly: span,
  timeZone: z.string().refine(isTimeZone, 'give the name of a time zone such as Europe/Berlin').optional(),
  minimumBackups: whole(0, 1e6).optional(),
  maximumBackups: whole(1, 1e6).optional(),
  keepDays: whole(0, 1e5).optional(),
};
