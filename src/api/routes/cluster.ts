import { z } from 'zod';
import { isOverdue, lockState } from '../../client/reading.ts';
import { HomarusError } from '../../domain/errors.ts';
import type { ApiDeps } from '../deps.ts';
import { mayMeet, problemOf, problemSchema } from '../problems.ts';
import type { Route } from '../route.ts';
import { route } from '../route.ts';
import * as schemas from '../schemas.ts';

const tag = 'The cluster';

export function clusterRoutes(deps: ApiDeps): Route[] {
  const { cluster, defaultStorage, storages, temporal, storage, temporalUi, metrics } = deps;
  return [
    route({
      ...{ method: 'GET', path: '/health', name: 'health', tag, role: 'anybody' },
      summary: 'The facade lives',
      answer: {
        status: 200,
        what: 'It does',
        schema: z.object({ status: z.literal('ok'), cluster: z.string() }),
      },
      errors: [],
      run: async () => ({ status: 'ok', cluster }),
    }),
    route({
      ...{ method: 'GET', path: '/ready', name: 'ready', tag, role: 'anybody' },
      summary: 'Temporal answers, so operations can be started and seen',
      answer: { status: 200, what: 'It does', schema: z.object({ status: z.literal('ready') }) },
      errors: mayMeet.temporal,
      async run() {
        await temporal.check();
        return { status: 'ready' };
      },
    }),
    route({
      ...{ method: 'GET', path: '/metrics', name: 'metrics', tag, role: 'read' },
      summary: "What this process counts, in Prometheus' text format",
      details: 'The same as at the endpoint that `metrics` of the configuration names, behind tokens and TLS.',
      answer: { status: 200, what: 'The metrics', type: 'text/plain' },
      errors: ['RouteNotFound'],
      async run({ reply }) {
        if (metrics === null) {
          const what = 'this process counts nothing: "metrics" is not configured';
          throw new HomarusError('RouteNotFound', what, { hint: 'Set "metrics" in its configuration and restart it.' });
        }
        return reply.type('text/plain; version=0.0.4; charset=utf-8').send(await metrics());
      },
    }),
    route({
      ...{ method: 'GET', path: '/v1/cluster', name: 'showCluster', tag, role: 'read' },
      summary: 'Nodes, the lock and its holder, the last backup, and what runs',
      details:
        'What can be seen is shown: fields are null where the storage or Temporal does not answer, and `problems` says why.',
      query: schemas.storageQuery,
      answer: {
        status: 200,
        what: 'What can be seen',
        schema: z.object({
          cluster: z.string(),
          storage: z.string(),
          storages: z.array(z.string()),
          temporalUi: z.string().nullable().describe("Where Temporal's own pages of the cluster's namespace are"),
          lock: schemas.lock.nullable(),
          lastBackup: schemas.backup.nullable(),
          overdue: z
            .boolean()
            .nullable()
            .describe('The last complete backup is older than `backup.alertAfter`; null where that is not known'),
          nodes: z.array(schemas.nodeHealth).nullable(),
          coordinators: z.int().min(0).nullable().describe('How many are at work'),
          operations: z.array(schemas.operationEntry).nullable().describe('Those that run'),
          problems: z.array(problemSchema),
        }),
      },
      errors: [],
      async run({ query }) {
        if (query.storage !== undefined && !storages.includes(query.storage)) await storage.look(query.storage);
        const [stored, live] = await Promise.allSettled([ofStorage(deps, query.storage), ofTemporal(deps)]);
        return {
          cluster,
          storage: query.storage ?? defaultStorage,
          storages,
          temporalUi,
          ...(stored.status === 'fulfilled' ? stored.value : { lock: null, lastBackup: null, overdue: null }),
          ...(live.status === 'fulfilled' ? live.value : { nodes: null, coordinators: null, operations: null }),
          problems: [stored, live].filter((part) => part.status === 'rejected').map(({ reason }) => problemOf(reason)),
        };
      },
    }),
  ];
}

async function ofStorage({ storage, alertAfter }: ApiDeps, name: string | undefined) {
  const { reading, backups } = await storage.look(name);
  const overdue = alertAfter === undefined ? null : isOverdue(reading, alertAfter, new Date());
  return { lock: await lockState(reading), lastBackup: backups[0] ?? null, overdue };
}

async function ofTemporal({ temporal }: ApiDeps) {
  const [nodes, coordinators, operations] = await Promise.all([
    temporal.nodes(),
    temporal.coordinators(),
    temporal.list({ running: true }),
  ]);
  return { nodes, coordinators, operations };
}
