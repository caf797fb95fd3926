import { z } from 'zod';
import type { CleanupRequest } from '../../domain/requests.ts';
import type { RetentionPolicy } from '../../domain/retention.ts';
import { verdicts } from '../../storage/cleanUp.ts';
import type { ApiDeps } from '../deps.ts';
import { mayMeet } from '../problems.ts';
import type { Route } from '../route.ts';
import { route } from '../route.ts';
import * as schemas from '../schemas.ts';
import { given } from './asked.ts';

const tag = 'Cleanup';
const rules = { storage: schemas.common.storage, retention: schemas.retentionUse.optional() };

export function cleanupRoutes({ storage, temporal, retention: configured }: ApiDeps): Route[] {
  const policy = (asked: RetentionPolicy | undefined): RetentionPolicy => ({ ...configured, ...given(asked ?? {}) });

  return [
    route({
      ...{ method: 'POST', path: '/v1/cleanups/plan', name: 'planCleanup', tag, role: 'read' },
      summary: 'What retention says of each backup, with the reasons; nothing is changed',
      body: z.strictObject(rules).default({}),
      answer: { status: 200, what: 'The verdicts', schema: z.object({ verdicts: z.array(schemas.verdict) }) },
      errors: mayMeet.storage,
      async run({ body }) {
        const { repository, at } = (await storage.look(body.storage)).reading;
        const request = { retention: policy(body.retention as RetentionPolicy | undefined) };
        return { verdicts: await verdicts(repository, at, request, { retention: configured, now: Date.now() }) };
      },
    }),
    route({
      ...{ method: 'POST', path: '/v1/cleanups', name: 'startCleanup', tag, role: 'operate', keyed: true },
      summary: 'Remove what retention lets go, and everything that no backup needs',
      body: z
        .strictObject({
          ...rules,
          waitForLock: schemas.common.waitForLock,
          orphans: z
            .boolean()
            .optional()
            .describe('Also give up what died backups left for the next one to go on from'),
          rewrite: z
            .strictObject({
              maxUnused: z.number().min(0).max(100).optional().describe('Share of the used bytes, e.g. 0.05'),
              maxRepackBytes: z.int().min(0).nullable().optional(),
            })
            .optional()
            .describe('Which packs are rewritten'),
        })
        .default({}),
      answer: { status: 202, what: 'It has started', schema: schemas.started },
      errors: mayMeet.temporal,
      async run({ body: { retention, rewrite, ...rest }, key, by }) {
        const request: CleanupRequest = {
          by,
          ...given(rest),
          retention: policy(retention as RetentionPolicy | undefined),
          ...(rewrite === undefined ? {} : { rewrite: given(rewrite) }),
        };
        return { operation: await temporal.start('cleanup', request, key) };
      },
    }),
  ];
}
