import { z } from 'zod';
import { findBackup } from '../../client/reading.ts';
import { HomarusError } from '../../domain/errors.ts';
import type { DrillRequest } from '../../domain/requests.ts';
import type { ApiDeps } from '../deps.ts';
import { mayMeet } from '../problems.ts';
import type { Route } from '../route.ts';
import { route } from '../route.ts';
import * as schemas from '../schemas.ts';
import { given, own } from './asked.ts';

const tag = 'Restore drills';

export function drillRoutes({ cluster, nodes, storage, temporal }: ApiDeps): Route[] {
  return [
    route({
      ...{ method: 'GET', path: '/v1/drills', name: 'listDrills', tag, role: 'read' },
      summary: 'How the latest restore drill of each backup went, newest first',
      details: 'Takes no lock, and needs no Temporal: what a drill found is kept with its backup.',
      query: schemas.storageQuery,
      answer: { status: 200, what: 'The drills', schema: z.object({ drills: z.array(schemas.drillOfBackup) }) },
      errors: mayMeet.storage,
      async run({ query }) {
        const { backups } = await storage.look(query.storage);
        const drills = backups.flatMap(({ name, drill }) => (drill === null ? [] : [{ backup: name, ...drill }]));
        return { drills: drills.toSorted((a, b) => b.at.localeCompare(a.at)) };
      },
    }),
    route({
      ...{ method: 'POST', path: '/v1/drills', name: 'startDrill', tag, role: 'operate', keyed: true },
      summary: 'Prove that a backup can be restored, and learn how long that takes',
      details:
        'Each node restores its files, or a sample of them, into a scratch directory, reads them back, compares and deletes them; the nodes are locked meanwhile. What it found is kept with the backup.',
      body: z
        .strictObject({
          ...schemas.common,
          backup: schemas.backupName.default('latest'),
          percent: z.number().gt(0).max(100).optional().describe('Only so much of the files, others each time'),
          node: schemas.nodeId.optional().describe('This node takes the files of all nodes, one after another'),
          directory: schemas.directory.optional().describe('Where the scratch directory is made on each node'),
          check: z.boolean().optional().describe('Let the plugin prove what was restored'),
        })
        .default({ backup: 'latest' }),
      answer: { status: 202, what: 'It has started', schema: schemas.started },
      errors: [...mayMeet.storage, ...mayMeet.temporal, 'BackupNotFound'],
      async run({ body, key, by }) {
        const { node } = body;
        if (node !== undefined && !nodes.some(({ id }) => id === node)) {
          const has = nodes.map(({ id }) => id).join(', ');
          throw new HomarusError('BadInput', `body.node: there is no ${node} in the cluster; it has ${has}`);
        }
        // `BackupNotFound` here and now, rather than in an operation that somebody must look at.
        findBackup(own((await storage.look(body.storage)).reading, cluster), body.backup);
        const backup = body.backup === 'latest' ? undefined : body.backup;
        const request: DrillRequest = { by, ...given({ ...body, backup }) };
        return { operation: await temporal.start('drill', request, key) };
      },
    }),
  ];
}
