import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { lockState, newestFirst, showBackup } from '../client/reading.ts';
import type { Listing } from '../client/sharedReading.ts';
import { HomarusError, hasCode } from '../domain/errors.ts';
import type { CleanupRequest, RestorePair, RestoreRequest } from '../domain/requests.ts';
import { verdicts } from '../storage/cleanUp.ts';
import { AstacusError, astacusErrorOf, invalid, unsupported } from './astacusErrors.ts';
import { listedForAstacus } from './astacusList.ts';
import { astacusState } from './astacusState.ts';
import { wantsPage } from './dashboard.ts';
import type { ApiDeps, StartedLocked } from './deps.ts';
import { operationOf, opIdOf } from './opIds.ts';
import type { Asking } from './safety.ts';
import { audit } from './safety.ts';

/**
 * Astacus's interface under its paths and shapes, so that its client and scripts work on. docs/from-astacus.md lists each
 * difference. Nothing is kept here: the number of an operation leads to its workflow.
 */

const KINDS = ['backup', 'restore', 'cleanup', 'lock', 'unlock'] as const;
type Kind = (typeof KINDS)[number];

/** Names as Astacus's client writes them. */
const PREFIX = 'backup-';
const bare = (name: string): string => (name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name);

const storageField = z.string().default('');
const whole = z.int().min(0).nullish();
const partialNode = z
  .object({
    backup_index: z.int().min(0).nullish(),
    backup_hostname: z.string().nullish(),
    node_index: z.int().min(0).nullish(),
    node_url: z.string().nullish(),
  })
  .refine((one) => (one.backup_index == null) !== (one.backup_hostname == null), 'Need backup_index or backup_hostname')
  .refine((one) => (one.node_index == null) !== (one.node_url == null), 'Need node_index or node_url');
const restoreBody = z
  .object({
    storage: storageField,
    name: z.string().max(200).default(''),
    partial_restore_nodes: z.array(partialNode).nullish(),
    stop_after_step: z.string().nullish(),
  })
  .prefault({});
const cleanupBody = z
  .object({
    storage: storageField,
    retention: z.object({ minimum_backups: whole, maximum_backups: whole, keep_days: whole }).nullish(),
    explicit_delete: z.array(z.string().max(200)).default([]),
  })
  .prefault({});
const lockQuery = z.object({
  locker: z.string().min(1).max(200),
  ttl: z.coerce
    .number()
    .int()
    .min(1)
    .max(30 * 86_400)
    .default(60),
});
const unlockQuery = z.object({ locker: z.string().min(1).max(200) });

export function addAstacus(app: FastifyInstance, deps: ApiDeps): void {
  const { cluster, nodes, storage, storages, temporal } = deps;
  const list = listedForAstacus();
  const read = { config: { role: 'read' as const } };
  const operate = { config: { role: 'operate' as const } };

  const named = (name: string): string | undefined => {
    if (name !== '' && !storages.includes(name)) throw invalid(['body', 'storage'], `Unknown storage ${name}`);
    return name === '' ? undefined : name;
  };

  /** 409 for who does not get the lock; whatever else ends it is told by its state, as ever. */
  const started = (request: Asking, { operation, error }: StartedLocked): object => {
    audit(deps, request, operation);
    if (error && hasCode(error, 'LockHeld', 'NodeUnavailable', 'NodeTaken')) throw astacusErrorOf(error);
    return startResult(request, operation);
  };

  app.post('/backup', operate, async (request) =>
    started(request, await temporal.startLocked('backup', { by: request.by })),
  );

  app.post('/restore', operate, async (request) => {
    const { name, partial_restore_nodes: partial, ...body } = valid(restoreBody, request.body, 'body');
    if (body.stop_after_step) throw invalid(['body', 'stop_after_step'], 'Homarus has no steps to stop after');
    const asked: RestoreRequest = { by: request.by, backup: bare(name) || 'latest' };
    const from = named(body.storage);
    if (from !== undefined) asked.storage = from;
    if (partial) {
      const pairs = await pairsOf(partial, asked);
      asked.nodes = pairs.map(({ to }) => to);
      asked.map = pairs;
    }
    return started(request, await temporal.startLocked('restore', asked));
  });

  async function pairsOf(
    partial: readonly z.output<typeof partialNode>[],
    asked: RestoreRequest,
  ): Promise<RestorePair[]> {
    const { manifest } = await showBackup((await storage.look(asked.storage)).reading, asked.backup);
    return partial.map((one, place) => {
      const field = (name: string) => ['body', 'partial_restore_nodes', place, name];
      const from = manifest.nodes.find(({ host }, at) =>
        one.backup_index == null ? host === one.backup_hostname : at === one.backup_index,
      );
      if (!from) throw invalid(field('backup_index'), `Backup ${manifest.name} has no such node`);
      const host = one.node_url == null ? undefined : hostIn(one.node_url);
      const to = nodes.find(({ id }, at) => (one.node_index == null ? id === host : at === one.node_index));
      if (!to) throw invalid(field('node_index'), `Cluster ${cluster} has no such node`);
      return { from: from.id, to: to.id };
    });
  }

  app.post('/cleanup', operate, async (request) => {
    const { storage: name, retention, explicit_delete: explicit } = valid(cleanupBody, request.body, 'body');
    const asked: CleanupRequest = { by: request.by };
    const from = named(name);
    if (from !== undefined) asked.storage = from;
    const rules = {
      minimumBackups: retention?.minimum_backups,
      maximumBackups: retention?.maximum_backups,
      keepDays: retention?.keep_days,
    };
    const given = Object.fromEntries(Object.entries(rules).filter(([, value]) => value != null));
    const policy = { ...deps.retention, ...given };
    if (explicit.length === 0) asked.retention = policy;
    else asked.backups = await toDelete(asked, explicit.map(bare), Object.keys(given).length > 0 ? policy : undefined);
    return started(request, await temporal.startLocked('cleanup', asked));
  });

  /** Those that are there, and what a given retention lets go of the others. A deletion by name alone judges nothing else. */
  async function toDelete(
    asked: CleanupRequest,
    explicit: readonly string[],
    policy: CleanupRequest['retention'],
  ): Promise<string[]> {
    const { reading } = await storage.look(asked.storage);
    const there = newestFirst(reading).map(({ name }) => name);
    const wanted = there.filter((name) => explicit.includes(name));
    if (policy === undefined) return wanted;
    const { repository, at } = reading;
    const others = {
      ...at,
      root: { ...at.root, backups: at.root.backups.filter(({ name }) => !wanted.includes(name)) },
    };
    const judged = await verdicts(repository, others, { retention: policy }, { retention: policy, now: Date.now() });
    return [...wanted, ...judged.filter(({ keep }) => !keep).map(({ name }) => name)];
  }

  app.get('/list', read, async (request) => {
    const { storage: name } = valid(z.object({ storage: storageField }), request.query, 'query');
    const wanted = named(name);
    const names = wanted === undefined ? storages : [wanted];
    const listings = await Promise.all(
      names.map(async (one): Promise<[string, Listing]> => [one, await storage.look(one)]),
    );
    return {
      storages: await Promise.all(
        listings.map(async ([one, listing]) => ({ storage_name: one, backups: await list(listing) })),
      ),
    };
  });

  app.get('/busy', read, async () => {
    const { holder, expired } = await lockState((await storage.look(undefined)).reading);
    return (holder !== null && !expired) || (await temporal.list({ running: true, limit: 1 })).length > 0;
  });

  app.post('/lock', operate, async (request) => {
    const { locker, ttl } = valid(lockQuery, request.query, 'query');
    const id = await temporal.start('lock', { by: locker, for: ttl * 1000 });
    audit(deps, request, id);
    const unlock = new URL(`/unlock?locker=${encodeURIComponent(locker)}`, baseOf(request));
    return { ...startResult(request, id), unlock_url: unlock.href };
  });

  app.post('/unlock', operate, async (request) => {
    const { locker } = valid(unlockQuery, request.query, 'query');
    const { holder } = await lockState((await storage.look(undefined)).reading);
    if (holder?.kind !== 'lock' || holder.by !== locker) {
      throw new AstacusError(409, { code: 'not_locked', message: `The cluster is not locked by ${locker}` });
    }
    await temporal.unlock(holder.operation);
    audit(deps, request, holder.operation);
    return startResult(request, holder.operation);
  });

  for (const kind of KINDS) {
    app.get(`/${kind}/:op_id`, read, (request) => stateOf(kind, (request.params as { op_id: string }).op_id));
  }

  async function stateOf(kind: Kind, text: string): Promise<object> {
    const opId = valid(z.coerce.number().int(), text, 'path', 'op_id');
    const id = operationOf(kind === 'unlock' ? 'lock' : kind, cluster, opId);
    const unknown = new AstacusError(404, { code: 'operation_id_mismatch', op: opId, message: 'Unknown operation id' });
    if (id === undefined) throw unknown;
    try {
      return astacusState(kind, await temporal.status(id));
    } catch (error) {
      throw hasCode(error, 'OperationNotFound') ? unknown : error;
    }
  }

  app.get('/', { config: { role: 'anybody' } }, async (request, reply) =>
    wantsPage(request.headers.accept) ? reply.redirect('/dashboard/') : {},
  );
  app.get('/delta/list', read, async () => ({
    storages: storages.map((name) => ({ storage_name: name, backups: [] })),
  }));
  for (const [path, why] of [
    ['/delta/backup', 'Homarus has no delta backups: every backup stores only what is new'],
    ['/config/reload', 'Processes read the configuration when they start: restart them'],
  ] as const) {
    app.post(path, operate, async () => Promise.reject(unsupported(why)));
  }
  app.get('/config/status', read, async () =>
    Promise.reject(unsupported('Run "homarus config check" on the machine, and restart processes after a change')),
  );

  app.setErrorHandler((error, request, reply) => sendError(deps, error, request, reply));
}

function valid<T>(schema: z.ZodType<T>, input: unknown, ...where: string[]): T {
  const parsed = schema.safeParse(input ?? undefined);
  if (parsed.success) return parsed.data;
  throw invalid(
    null,
    parsed.error.issues.map(({ path, message }) => ({ loc: [...where, ...path], msg: message, type: 'value_error' })),
  );
}

function startResult(request: FastifyRequest, operation: string): { op_id: number; status_url: string } {
  const opId = opIdOf(operation);
  if (opId === undefined) throw new HomarusError('Internal', `${operation} has no number`);
  const [path] = request.url.split('?');
  return { op_id: opId, status_url: new URL(`${path}/${opId}`, baseOf(request)).href };
}

const baseOf = (request: FastifyRequest): string => `${request.protocol}://${request.host}`;

/** Astacus's nodes have URLs, ours ids: the host of the URL is taken for the id. */
const hostIn = (url: string): string => (URL.canParse(url) ? new URL(url).hostname : url);

function sendError({ log }: ApiDeps, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const told = error instanceof AstacusError ? error : astacusErrorOf(error);
  if (told.statusCode >= 500) log('error', 'request failed', { path: request.url, error: String(error) });
  return reply.code(told.statusCode).send({ detail: told.detail, ...told.problem });
}
