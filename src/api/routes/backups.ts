import { z } from 'zod';
import { findBackup, showBackup } from '../../client/reading.ts';
import type { Listing } from '../../client/sharedReading.ts';
import { nodesWithout } from '../../domain/cluster.ts';
import { HomarusError } from '../../domain/errors.ts';
import type { BackupRequest } from '../../domain/requests.ts';
import { verdicts } from '../../storage/cleanUp.ts';
import { pin, unpin } from '../../storage/marks.ts';
import type { ApiDeps } from '../deps.ts';
import { mayMeet } from '../problems.ts';
import type { Route } from '../route.ts';
import { route } from '../route.ts';
import * as schemas from '../schemas.ts';
import { given, own } from './asked.ts';

/** A cleanup that is under way is waited for so long, ms. */
const PATIENCE = 2_000;

const tag = 'Backups';
const found = [...mayMeet.storage, 'BackupNotFound', 'BackupRemoved'] as const;

const asked = {
  storage: schemas.common.storage,
  withoutNodes: schemas.nodeIds.optional().describe('Nodes that are not asked: the backup is partial'),
  allowMissing: z.int().min(0).max(10_000).optional().describe('So many nodes may be missing'),
};

export function backupRoutes(deps: ApiDeps): Route[] {
  const { storage, temporal, cluster, defaultStorage } = deps;
  /** As it is sent, for as long as nothing changes. */
  const sent = new WeakMap<Listing, Buffer>();

  return [
    route({
      ...{ method: 'GET', path: '/v1/backups', name: 'listBackups', tag, role: 'read' },
      summary: 'The backups of a storage, newest first',
      details: 'Takes no lock, and needs no Temporal. With `If-None-Match` it answers 304 while nothing has changed.',
      query: schemas.storageQuery,
      answer: {
        status: 200,
        what: 'What the storage holds now',
        schema: z.object({ cluster: z.string(), storage: z.string(), backups: z.array(schemas.backup) }),
      },
      errors: mayMeet.storage,
      async run({ query, headers, reply }) {
        const listing = await storage.look(query.storage);
        const etag = `"${listing.version}"`;
        reply.header('etag', etag);
        if (headers['if-none-match'] === etag) return reply.code(304).send();
        let body = sent.get(listing);
        if (body === undefined) {
          const { cluster: owner } = listing.reading.at.root;
          const { backups } = listing;
          body = Buffer.from(JSON.stringify({ cluster: owner, storage: query.storage ?? defaultStorage, backups }));
          sent.set(listing, body);
        }
        return reply.type('application/json; charset=utf-8').send(body);
      },
    }),
    route({
      ...{ method: 'POST', path: '/v1/backups', name: 'startBackup', tag, role: 'operate', keyed: true },
      summary: 'Start a backup',
      body: z
        .strictObject({
          ...asked,
          waitForLock: schemas.common.waitForLock,
          label: z.string().max(200).optional(),
        })
        .default({}),
      answer: { status: 202, what: 'It has started', schema: schemas.started },
      errors: mayMeet.temporal,
      async run({ body, key, by }) {
        nodesWithout(deps.nodes, body.withoutNodes);
        const request: BackupRequest = { by, ...given(body) };
        return { operation: await temporal.start('backup', request, key) };
      },
    }),
    route({
      ...{ method: 'POST', path: '/v1/backups/plan', name: 'planBackup', tag, role: 'operate', keyed: true },
      summary: 'Say what a backup would read and store, and what it would leave out',
      details:
        'Starts an `estimate`, which asks the nodes; its result is the answer. Files are compared by size, mtime and inode with the last backup, none is read, nothing is locked or changed.',
      body: z.strictObject(asked).default({}),
      answer: { status: 202, what: 'The estimate has started', schema: schemas.started },
      errors: mayMeet.temporal,
      async run({ body, key, by }) {
        nodesWithout(deps.nodes, body.withoutNodes);
        const request: BackupRequest = { by, ...given(body) };
        return { operation: await temporal.start('estimate', request, key) };
      },
    }),
    route({
      ...{ method: 'GET', path: '/v1/backups/{backup}', name: 'showBackup', tag, role: 'read' },
      summary: 'What a backup holds: nodes, data roots, files, bytes',
      params: schemas.backupParams,
      query: schemas.storageQuery,
      answer: { status: 200, what: 'The backup', schema: schemas.backupDetails },
      errors: found,
      run: async ({ params, query }) => showBackup((await storage.look(query.storage)).reading, params.backup),
    }),
    route({
      ...{ method: 'DELETE', path: '/v1/backups/{backup}', name: 'deleteBackup', tag, role: 'operate', keyed: true },
      summary: 'Remove a backup, and what no other needs',
      details: 'Starts a cleanup of this backup alone. A pinned backup is refused, and so is one that another needs.',
      params: schemas.backupParams,
      query: schemas.storageQuery,
      answer: { status: 202, what: 'The cleanup has started', schema: schemas.started },
      errors: [...found, ...mayMeet.temporal],
      async run({ params: { backup }, query, key, by }) {
        if (backup === 'latest') {
          throw new HomarusError('BadInput', 'backup: give a name: "latest" may be another one soon');
        }
        const { repository, at } = (await storage.look(query.storage)).reading;
        const { name } = findBackup({ repository, at }, backup);
        const clock = { retention: deps.retention, now: Date.now() };
        const judged = await verdicts(repository, at, { backups: [name] }, clock);
        const stays = judged.find((verdict) => verdict.keep && verdict.name === name);
        if (stays) {
          throw new HomarusError('BadInput', `backup: ${name} stays: ${stays.reasons.join(', ')}`, {
            hint: 'Unpin it, or delete what requires it first.',
          });
        }
        return { operation: await temporal.start('cleanup', { by, ...given(query), backups: [name] }, key) };
      },
    }),
    route({
      ...{ method: 'PUT', path: '/v1/backups/{backup}/pin', name: 'pinBackup', tag, role: 'operate' },
      summary: 'Keep a backup from every cleanup, until it is unpinned or a time that you give',
      params: schemas.backupParams,
      query: schemas.storageQuery,
      body: z
        .strictObject({
          until: z.iso.datetime({ error: 'give a time such as 2026-11-24T03:00:00Z' }).optional(),
          note: z.string().max(1_000).optional().describe('Why, for people'),
        })
        .default({}),
      answer: {
        status: 200,
        what: 'No cleanup can remove it any more',
        schema: z.object({ backup: z.string(), until: z.iso.datetime().nullable() }),
      },
      errors: [...found, 'LockHeld'],
      async run({ params, query, body: { until, note = '' }, by }) {
        if (until !== undefined && Date.parse(until) <= Date.now()) {
          throw new HomarusError('BadInput', `body.until: ${until} is over already`);
        }
        const { reading } = await storage.look(query.storage);
        const { name } = findBackup(reading, params.backup);
        const asked = { by, note, patience: PATIENCE, ...(until === undefined ? {} : { until }) };
        await pin(own(reading, cluster).repository, name, asked);
        return { backup: name, until: until ?? null };
      },
    }),
    route({
      ...{ method: 'DELETE', path: '/v1/backups/{backup}/pin', name: 'unpinBackup', tag, role: 'operate' },
      summary: 'Leave a pinned backup to retention again',
      params: schemas.backupParams,
      query: schemas.storageQuery,
      answer: {
        status: 200,
        what: 'It has no pin any more',
        schema: z.object({ backup: z.string(), removed: z.int().min(0) }),
      },
      errors: found,
      async run({ params, query }) {
        const { reading } = await storage.look(query.storage);
        const { name } = findBackup(reading, params.backup);
        return { backup: name, removed: await unpin(own(reading, cluster).repository, name) };
      },
    }),
  ];
}
