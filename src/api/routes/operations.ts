import { Readable } from 'node:stream';
import { z } from 'zod';
import type { LockRequest, VerifyRequest } from '../../domain/requests.ts';
import type { ApiDeps } from '../deps.ts';
import type { Events } from '../events.ts';
import { mayMeet } from '../problems.ts';
import type { Route } from '../route.ts';
import { route } from '../route.ts';
import * as schemas from '../schemas.ts';
import { given } from './asked.ts';

const tag = 'Operations';
const known = [...mayMeet.temporal, 'OperationNotFound'] as const;

export function operationRoutes({ temporal }: ApiDeps, events: Events): Route[] {
  const start = { status: 202, what: 'It has started', schema: schemas.started } as const;

  return [
    route({
      ...{ method: 'GET', path: '/v1/operations', name: 'listOperations', tag, role: 'read' },
      summary: 'The operations that Temporal still knows, the latest first',
      query: z.strictObject({
        state: z.enum(['all', 'running']).default('all'),
        limit: z.coerce.number().int().min(1).max(1_000).default(50),
      }),
      answer: {
        status: 200,
        what: 'The operations',
        schema: z.object({ operations: z.array(schemas.operationEntry) }),
      },
      errors: mayMeet.temporal,
      run: async ({ query: { state, limit } }) => ({
        operations: await temporal.list({ running: state === 'running', limit }),
      }),
    }),
    route({
      ...{ method: 'GET', path: '/v1/operations/{operation}', name: 'showOperation', tag, role: 'read' },
      summary: 'What an operation is at, or how it ended',
      params: schemas.operationParams,
      answer: { status: 200, what: 'The operation', schema: schemas.operation },
      errors: known,
      run: ({ params }) => temporal.status(params.operation),
    }),
    route({
      ...{ method: 'GET', path: '/v1/operations/{operation}/events', name: 'followOperation', tag, role: 'read' },
      summary: 'The same as server-sent events, until it ends',
      details:
        'Each event `status` has the operation as JSON, whenever it changed; the last one is `end`. While Temporal is away `problem` says so, and the stream goes on.',
      params: schemas.operationParams,
      answer: { status: 200, what: 'The events', type: 'text/event-stream' },
      errors: [...known, 'TooManyStreams'],
      async run({ params, reply }) {
        const stream = await events.follow(params.operation);
        return reply
          .type('text/event-stream')
          .header('x-accel-buffering', 'no')
          .send(Readable.from(stream, { objectMode: false }));
      },
    }),
    route({
      ...{ method: 'POST', path: '/v1/operations/{operation}/cancel', name: 'cancelOperation', tag, role: 'operate' },
      summary: 'Ask an operation to stop; it unlocks the cluster before it ends',
      params: schemas.operationParams,
      answer: { status: 202, what: 'It was asked', schema: schemas.started },
      errors: known,
      async run({ params: { operation } }) {
        await temporal.cancel(operation);
        return { operation };
      },
    }),
    route({
      ...{ method: 'POST', path: '/v1/verifications', name: 'startVerify', tag, role: 'operate', keyed: true },
      summary: 'Check that the storage still holds every backup, and say what damage costs',
      body: z
        .strictObject({
          storage: schemas.common.storage,
          readData: z
            .union([z.strictObject({ percent: z.number().min(0).max(100) }), z.strictObject({ bytes: z.int().min(0) })])
            .optional()
            .describe('Also read packs and check every chunk in them: so much of them, other ones each time'),
        })
        .default({}),
      answer: start,
      errors: mayMeet.temporal,
      run: async ({ body, key, by }) => {
        const request: VerifyRequest = { by, ...given(body) };
        return { operation: await temporal.start('verify', request, key) };
      },
    }),
    route({
      ...{ method: 'POST', path: '/v1/locks', name: 'startLock', tag, role: 'operate', keyed: true },
      summary: 'Hold the cluster for maintenance: no operation runs until it is unlocked',
      body: z.strictObject({
        ...schemas.common,
        for: z
          .int()
          .min(1_000)
          .max(30 * 86_400_000)
          .describe('How long at most, ms'),
      }),
      answer: start,
      errors: mayMeet.temporal,
      run: async ({ body, key, by }) => {
        const request: LockRequest = { by, ...given(body) };
        return { operation: await temporal.start('lock', request, key) };
      },
    }),
    route({
      ...{ method: 'DELETE', path: '/v1/locks/{operation}', name: 'endLock', tag, role: 'operate' },
      summary: 'Free the cluster that was locked for maintenance',
      params: schemas.operationParams,
      answer: { status: 202, what: 'It was asked to let go', schema: schemas.started },
      errors: known,
      async run({ params: { operation } }) {
        await temporal.unlock(operation);
        return { operation };
      },
    }),
  ];
}
