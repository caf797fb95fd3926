import type { FastifyInstance } from 'fastify';
import fastify from 'fastify';
import { z } from 'zod';
import type { OperationStatus } from '../client/progress.ts';
import type { BackupEntry } from '../domain/documents.ts';
import { errorTable, HomarusError } from '../domain/errors.ts';
import type { BackupRequest } from '../domain/operations.ts';

/** What the facade is handed: it keeps no state of its own. */
export interface ApiDeps {
  cluster: string;
  /** Newest first. */
  listBackups(storage: string | undefined): Promise<BackupEntry[]>;
  /** Answers the operation's id. */
  startBackup(request: BackupRequest, idempotencyKey: string | undefined): Promise<string>;
  operation(id: string): Promise<OperationStatus>;
  /** Rejects with the reason when Temporal does not answer. */
  checkTemporal(): Promise<void>;
}

const backupBody = z
  .strictObject({
    label: z.string().max(200).optional(),
    storage: z.string().min(1).max(100).optional(),
    waitForLock: z.number().int().nonnegative().optional(),
    withoutNodes: z.array(z.string().min(1).max(63)).min(1).max(10_000).optional(),
    allowMissing: z.number().int().min(0).max(10_000).optional(),
  })
  .default({});
const listQuery = z.strictObject({ storage: z.string().min(1).max(100).optional() });
const idempotencyKey = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'use 1 to 64 of A-Z a-z 0-9 . _ -');

/** The REST facade: routes, and every error as problem+json (RFC 9457) from the one table. */
export function createApi(deps: ApiDeps): FastifyInstance {
  const app = fastify({ bodyLimit: 64 * 1024 });

  app.get('/health', async () => ({ status: 'ok', cluster: deps.cluster }));

  app.get('/ready', async () => {
    await deps.checkTemporal();
    return { status: 'ready' };
  });

  app.get('/v1/backups', async (request) => {
    const { storage } = parse(listQuery, request.query, 'query');
    return { cluster: deps.cluster, backups: await deps.listBackups(storage) };
  });

  app.post('/v1/backups', async (request, reply) => {
    const body = parse(backupBody, request.body ?? {}, 'body');
    const header = request.headers['idempotency-key'];
    const key = header === undefined ? undefined : parse(idempotencyKey, header, 'Idempotency-Key');
    const asked: BackupRequest = { by: `REST ${request.ip}` };
    if (body.label !== undefined) asked.label = body.label;
    if (body.storage !== undefined) asked.storage = body.storage;
    if (body.waitForLock !== undefined) asked.waitForLock = body.waitForLock;
    if (body.withoutNodes !== undefined) asked.withoutNodes = body.withoutNodes;
    if (body.allowMissing !== undefined) asked.allowMissing = body.allowMissing;
    const operation = await deps.startBackup(asked, key);
    return reply.code(202).header('location', `/v1/operations/${operation}`).send({ operation });
  });

  app.get<{ Params: { id: string } }>('/v1/operations/:id', (request) => deps.operation(request.params.id));

  app.setErrorHandler((error, _request, reply) => {
    const problem = problemOf(error);
    return reply.code(problem.status).type('application/problem+json').send(problem);
  });
  app.setNotFoundHandler((request, reply) =>
    reply
      .code(404)
      .type('application/problem+json')
      .send({
        type: 'about:blank',
        status: 404,
        title: 'NotFound',
        detail: `there is nothing at ${request.method} ${request.url}`,
        hint: 'See docs/architecture.md for the routes.',
      }),
  );
  return app;
}

function parse<T>(schema: z.ZodType<T>, input: unknown, where: string): T {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${[where, ...issue.path].join('.')}: ${issue.message}`);
  throw new HomarusError('BadInput', faults.join('; '));
}

function problemOf(error: unknown) {
  const { statusCode } = error as { statusCode?: number };
  const known =
    error instanceof HomarusError
      ? error
      : new HomarusError(
          statusCode !== undefined && statusCode < 500 ? 'BadInput' : 'Internal',
          error instanceof Error ? error.message : String(error),
        );
  const status = error instanceof HomarusError ? errorTable[known.code].http : (statusCode ?? 500);
  return { type: 'about:blank', status, title: known.code, detail: known.message, hint: known.hint };
}
