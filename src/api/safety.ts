import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { HomarusError } from '../domain/errors.ts';
import type { ApiDeps } from './deps.ts';
import type { Route } from './route.ts';
import type { TokenHash } from './tokens.ts';
import { bearerOf } from './tokens.ts';

/** Who may do what, and what browsers are told. */

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks, for people: the name of the token, and from where. */
    by: string;
  }
  interface FastifyContextConfig {
    role?: Route['role'];
  }
}

const LOOPBACK_HOST = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/;
const CHANGES = new Set(['POST', 'PUT', 'DELETE', 'PATCH']);

export function addSafety(app: FastifyInstance, { tokens, tls, log }: Pick<ApiDeps, 'tokens' | 'tls' | 'log'>): void {
  app.decorateRequest('by', '');
  app.addHook('onRequest', async (request, reply) => {
    tellBrowsers(reply, tls !== undefined);
    const bearer = bearerOf(request.headers.authorization, tokens);
    request.by = bearer === undefined ? `REST ${request.ip}` : `${bearer.name} by REST from ${request.ip}`;
    try {
      refuseStrangePages(request, tokens.length > 0);
      if (tokens.length > 0) checkRole(request, bearer);
    } catch (error) {
      const { code } = error as HomarusError;
      if (code === 'TokenMissing') reply.header('www-authenticate', 'Bearer realm="homarus"');
      log('warn', 'audit: refused', { by: request.by, method: request.method, path: pathOf(request), code });
      throw error;
    }
  });
}

/** `TokenMissing`, `NotAllowed` */
function checkRole(request: FastifyRequest, bearer: TokenHash | undefined): void {
  const { role = 'anybody' } = request.routeOptions.config;
  if (role === 'anybody') return;
  const what = `${request.method} ${pathOf(request)}`;
  if (bearer === undefined) {
    const how = request.headers.authorization === undefined ? 'no token' : 'a token that is not configured';
    throw new HomarusError('TokenMissing', `${what} was asked with ${how}`);
  }
  if (role === 'operate' && bearer.role !== 'operate') {
    throw new HomarusError(
      'NotAllowed',
      `token "${bearer.name}" has the role ${bearer.role}; ${what} needs the role operate`,
    );
  }
}

function tellBrowsers(reply: FastifyReply, encrypted: boolean): void {
  reply.headers({
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    ...(encrypted ? { 'strict-transport-security': 'max-age=31536000' } : {}),
  });
}

/** A page from elsewhere must not make a browser on this machine, or one that knows a password, change anything. */
function refuseStrangePages(request: FastifyRequest, guarded: boolean): void {
  const { origin, host = '' } = request.headers;
  if (!guarded && !LOOPBACK_HOST.test(host)) {
    throw new HomarusError('NotAllowed', `without tokens the facade answers on loopback only, not as "${host}"`);
  }
  if (!CHANGES.has(request.method)) return;
  const site = request.headers['sec-fetch-site'];
  const strange = site !== undefined && site !== 'same-origin' && site !== 'none';
  if (strange || (origin !== undefined && originHost(origin) !== host)) {
    throw new HomarusError('NotAllowed', `a page of ${origin ?? 'another origin'} sent this request`);
  }
}

function originHost(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

export type Asking = FastifyRequest;

/** A line for each change: who did what. */
export function audit({ log }: Pick<ApiDeps, 'log'>, request: Asking, operation?: string, name?: string): void {
  const { by, method } = request;
  const what = name ?? `${method} ${request.routeOptions.url}`;
  log('info', `audit: ${what}`, { by, method, path: pathOf(request), ...(operation ? { operation } : {}) });
}

export const pathOf = (request: FastifyRequest): string => request.url.split('?')[0] as string;
