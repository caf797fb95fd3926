import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fastify from 'fastify';
import { HomarusError } from '../domain/errors.ts';
import { addAstacus } from './astacus.ts';
import { addDashboard } from './dashboard.ts';
import type { ApiDeps } from './deps.ts';
import { Events } from './events.ts';
import { IDEMPOTENCY_KEY, openApi } from './openapi.ts';
import { PROBLEM_JSON, problemOf } from './problems.ts';
import type { Route } from './route.ts';
import { parse } from './route.ts';
import { backupRoutes } from './routes/backups.ts';
import { cleanupRoutes } from './routes/cleanups.ts';
import { clusterRoutes } from './routes/cluster.ts';
import { drillRoutes } from './routes/drills.ts';
import { operationRoutes } from './routes/operations.ts';
import { restoreRoutes } from './routes/restores.ts';
import { scheduleRoutes } from './routes/schedules.ts';
import { addSafety, audit, pathOf } from './safety.ts';

/** More than the largest request that the schemas let through, bytes. */
const BODY_LIMIT = 512 * 1024;
/** A request must have come whole within this time, ms. */
const REQUEST_WITHIN = 30_000;

const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'QUERY'] as const;

/** The REST facade: all routes, and every error as problem+json (RFC 9457) from the one table. */
export function createApi(deps: ApiDeps): FastifyInstance {
  const app = fastify({
    bodyLimit: BODY_LIMIT,
    requestTimeout: REQUEST_WITHIN,
    exposeHeadRoutes: false,
    ...(deps.tls ? { https: { ...deps.tls, minVersion: 'TLSv1.2' as const } } : {}),
  } as { bodyLimit: number });
  app.removeContentTypeParser('text/plain');
  app.addHttpMethod('TRACE', { hasBody: true, overrideExisting: true });
  addSafety(app, deps);

  const events = new Events(deps.temporal);
  app.addHook('preClose', async () => events.close());
  const routes = apiRoutes(deps, events);
  for (const route of routes) addRoute(app, route, deps);
  addRefusals(app, routes);
  addDashboard(app);
  app.register(async (scope) => addAstacus(scope, deps));

  const document = JSON.stringify(openApi(routes));
  app.get('/openapi.json', (_, reply) => reply.type('application/json; charset=utf-8').send(document));

  app.setErrorHandler((error, request, reply) => {
    const problem = problemOf(error);
    if (problem.title === 'Internal')
      deps.log('error', 'request failed', { path: pathOf(request), error: textOf(error) });
    return sendProblem(reply, problem);
  });
  app.setNotFoundHandler((request, reply) => {
    const error = new HomarusError('RouteNotFound', `there is nothing at ${request.method} ${pathOf(request)}`);
    return sendProblem(reply, problemOf(error));
  });
  return app;
}

export const apiRoutes = (deps: ApiDeps, events: Events): Route[] => [
  ...backupRoutes(deps),
  ...restoreRoutes(deps),
  ...drillRoutes(deps),
  ...cleanupRoutes(deps),
  ...operationRoutes(deps, events),
  ...scheduleRoutes(deps),
  ...clusterRoutes(deps),
];

function addRoute(app: FastifyInstance, route: Route, deps: ApiDeps): void {
  app.route({
    method: route.method,
    url: urlOf(route),
    config: { role: route.role },
    handler: async (request, reply) => {
      const asked = {
        params: route.params && parse(route.params, request.params, 'path'),
        query: route.query && parse(route.query, request.query, 'query'),
        body: route.body && parse(route.body, request.body, 'body'),
        key: route.keyed ? keyOf(request) : undefined,
        ...{ by: request.by, headers: request.headers, reply },
      };
      const answer = await route.run(asked);
      const { operation } = (answer ?? {}) as { operation?: string };
      if (route.role === 'operate') {
        audit(deps, request, operation, route.name);
      }
      if (reply.sent || answer === reply) return reply;
      if (route.answer.status === 202 && operation) reply.header('location', `/v1/operations/${operation}`);
      return reply.code(route.answer.status).send(answer);
    },
  });
}

const urlOf = ({ path }: Route): string => path.replaceAll(/\{(\w+)\}/g, ':$1');

function keyOf({ headers }: FastifyRequest): string | undefined {
  const header = headers['idempotency-key'];
  return header === undefined ? undefined : parse(IDEMPOTENCY_KEY, header, 'Idempotency-Key');
}

/** What a path has no method for is told which it has. */
function addRefusals(app: FastifyInstance, routes: readonly Route[]): void {
  for (const url of new Set(routes.map(urlOf))) {
    const allowed = routes.filter((route) => urlOf(route) === url).map(({ method }) => method);
    app.route({
      method: METHODS.filter((method) => !(allowed as string[]).includes(method)),
      url,
      // Before its body is looked at.
      onRequest: async (request, reply) => {
        reply.header('allow', allowed.join(', '));
        const what = `${pathOf(request)} can be asked with ${allowed.join(', ')}, not with ${request.method}`;
        throw new HomarusError('MethodNotAllowed', what);
      },
      handler: async () => undefined,
    });
  }
}

const sendProblem = (reply: FastifyReply, problem: ReturnType<typeof problemOf>): FastifyReply =>
  reply.code(problem.status).type(PROBLEM_JSON).send(problem);

const textOf = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));
