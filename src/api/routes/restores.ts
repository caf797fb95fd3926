import { z } from 'zod';
import { findBackup } from '../../client/reading.ts';
import { HomarusError } from '../../domain/errors.ts';
import type { RestoreRequest } from '../../domain/requests.ts';
import type { ApiDeps } from '../deps.ts';
import { mayMeet } from '../problems.ts';
import type { Route } from '../route.ts';
import { route } from '../route.ts';
import * as schemas from '../schemas.ts';
import { given } from './asked.ts';

const tag = 'Restore';

const what = {
  storage: schemas.common.storage,
  backup: schemas.backupName,
  before: z.iso
    .datetime({ error: 'give a time such as 2026-11-24T03:00:00Z' })
    .optional()
    .describe('With `latest`: the latest that finished before this time'),
  nodes: schemas.nodeIds.optional().describe('Only these nodes of the cluster'),
  paths: z
    .array(z.string().min(1).max(1_024))
    .min(1)
    .max(100)
    .optional()
    .describe('Globs: only what matches, and what is below it'),
  to: schemas.directory.optional().describe('Another directory than the data roots, on each node'),
  verifyExisting: z.boolean().optional().describe('Compare the content of files that look right, too'),
  check: z.boolean().optional().describe('Let the plugin prove what was restored'),
  map: z
    .array(z.strictObject({ from: schemas.nodeId, to: schemas.nodeId }))
    .min(1)
    .max(1_000)
    .optional()
    .describe('Which node of the cluster takes the files of which node of the backup'),
};

export function restoreRoutes({ storage, temporal }: ApiDeps): Route[] {
  const errors = [...mayMeet.storage, ...mayMeet.temporal, 'BackupNotFound'] as const;

  /** `BackupNotFound` here and now, rather than in an operation that somebody must look at. */
  async function check({ backup, before, nodes, storage: name }: RestoreRequest): Promise<void> {
    if (before !== undefined && backup !== 'latest') {
      throw new HomarusError('BadInput', `body.before chooses a backup, and so does "${backup}": give one of them`);
    }
    findBackup((await storage.look(name)).reading, backup, { before, nodes });
  }

  return [
    route({
      ...{ method: 'POST', path: '/v1/restores/plan', name: 'planRestore', tag, role: 'operate', keyed: true },
      summary: 'Show a restore before it is done: who takes whose files and why, bytes, removals and space',
      details:
        'Starts a `preview`, which asks the nodes and changes nothing; its result is the plan. Give its `pairs` as `map` to the restore, and what was shown is what is done.',
      body: z.strictObject(what),
      answer: { status: 202, what: 'The preview has started', schema: schemas.started },
      errors,
      async run({ body, key, by }) {
        const request: RestoreRequest = { by, ...given(body) };
        await check(request);
        return { operation: await temporal.start('preview', request, key) };
      },
    }),
    route({
      ...{ method: 'POST', path: '/v1/restores', name: 'startRestore', tag, role: 'operate', keyed: true },
      summary: 'Bring a backup back to the nodes of the cluster',
      details:
        'In place, unless `to` names another directory: files that are right already are kept, others are replaced, and what the backup does not have is removed where `paths` cover it.',
      body: z.strictObject({ ...what, waitForLock: schemas.common.waitForLock }),
      answer: { status: 202, what: 'It has started', schema: schemas.started },
      errors,
      async run({ body, key, by }) {
        const request: RestoreRequest = { by, ...given(body) };
        await check(request);
        return { operation: await temporal.start('restore', request, key) };
      },
    }),
  ];
}
