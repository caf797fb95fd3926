import { z } from 'zod';
import type { ScheduleStatus } from '../../client/schedules.ts';
import type { ApiDeps } from '../deps.ts';
import { mayMeet } from '../problems.ts';
import type { Route } from '../route.ts';
import { route } from '../route.ts';
import * as schemas from '../schemas.ts';

const tag = 'Schedules';
const errors = [...mayMeet.temporal, 'ScheduleNotFound'] as const;
const params = z.strictObject({ schedule: schemas.nodeId.meta({ examples: ['nightly'] }) });
const note = z.strictObject({ note: z.string().max(1_000).default('').describe('Why, for people') }).prefault({});
const changed = z.object({ schedule: z.string(), paused: z.boolean() });

const schedule = z
  .object({
    name: z.string(),
    operation: z.string(),
    when: z.string().describe('For people'),
    paused: z.boolean(),
    note: z.string().describe('Who paused it and why'),
    next: z.iso.datetime().nullable(),
    last: z
      .object({
        operation: z.string(),
        at: z.iso.datetime(),
        state: z.enum(['running', 'succeeded', 'failed', 'cancelled', 'skipped', 'unknown']),
        reason: z.string().exactOptional(),
      })
      .nullable(),
    running: z.array(z.string()).describe('Operations of it that run'),
    missed: z.int().min(0).describe('Starts that were due while Temporal was down, and are not made up for'),
    overlapped: z.int().min(0).describe('Starts that were left out because the one before still ran'),
  })
  .meta({ id: 'Schedule' }) satisfies z.ZodType<ScheduleStatus>;

export function scheduleRoutes({ temporal }: ApiDeps): Route[] {
  return [
    route({
      ...{ method: 'GET', path: '/v1/schedules', name: 'listSchedules', tag, role: 'read' },
      summary: 'The schedules: when they run next, how they ended last, what was missed',
      answer: { status: 200, what: 'The schedules', schema: z.object({ schedules: z.array(schedule) }) },
      errors: mayMeet.temporal,
      run: async () => ({ schedules: await temporal.schedules() }),
    }),
    route({
      ...{ method: 'POST', path: '/v1/schedules/{schedule}/pause', name: 'pauseSchedule', tag, role: 'operate' },
      summary: 'Keep a schedule from starting anything, until it is resumed',
      params,
      body: note,
      answer: { status: 200, what: 'It is paused', schema: changed },
      errors,
      async run({ params: { schedule: name }, body, by }) {
        await temporal.pause(name, noteOf('paused', by, body.note));
        return { schedule: name, paused: true };
      },
    }),
    route({
      ...{ method: 'POST', path: '/v1/schedules/{schedule}/resume', name: 'resumeSchedule', tag, role: 'operate' },
      summary: 'Let a paused schedule go on',
      params,
      body: note,
      answer: { status: 200, what: 'It goes on', schema: changed },
      errors,
      async run({ params: { schedule: name }, body, by }) {
        await temporal.resume(name, noteOf('resumed', by, body.note));
        return { schedule: name, paused: false };
      },
    }),
    route({
      ...{ method: 'POST', path: '/v1/schedules/{schedule}/trigger', name: 'triggerSchedule', tag, role: 'operate' },
      summary: 'Start the operation of a schedule now, unless one of it runs',
      params,
      answer: {
        status: 200,
        what: 'What was started; `operation` is null when its last one still runs',
        schema: z.object({ schedule: z.string(), operation: z.string().nullable() }),
      },
      errors,
      run: async ({ params: { schedule: name } }) => ({ schedule: name, operation: await temporal.trigger(name) }),
    }),
  ];
}

const noteOf = (what: string, who: string, why: string): string => `${what} by ${who}${why && `: ${why}`}`;
