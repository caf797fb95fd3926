import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { FastifyInstance } from 'fastify';
import { Events } from '../../src/api/events.ts';
import { apiRoutes, createApi } from '../../src/api/server.ts';
import { bearerOf, newToken } from '../../src/api/tokens.ts';
import { GivenApi, operationOf } from './given.ts';

const reader = newToken('grafana', 'read');
const operator = newToken('ops', 'operate');
const bearer = ({ token }: { token: string }) => ({ authorization: `Bearer ${token}` });

let given: GivenApi;
let app: FastifyInstance;

async function serve(tokens = [reader, operator]): Promise<void> {
  given = await GivenApi.create();
  given.operations.set('x', operationOf('x', { state: 'succeeded' }));
  app = createApi(given.deps(tokens.map(({ token: _, ...hash }) => hash)));
}
beforeEach(() => serve());
afterEach(() => app.close());

describe('a token', () => {
  test('is found by its hash alone, as a bearer or as the password of a URL', () => {
    const hashes = [reader, operator].map(({ token: _, ...hash }) => hash);
    expect(JSON.stringify(hashes)).not.toContain(operator.token);
    expect(bearerOf(`Bearer ${operator.token}`, hashes)?.name).toBe('ops');
    const basic = Buffer.from(`anybody:${operator.token}`).toString('base64');
    expect(bearerOf(`Basic ${basic}`, hashes)?.name).toBe('ops');
    for (const wrong of [
      undefined,
      '',
      'Bearer ',
      `Bearer ${operator.token}x`,
      operator.sha256,
      `Bearer ${operator.sha256}`,
      'Basic !',
    ])
      expect(bearerOf(wrong, hashes)).toBeUndefined();
  });

  test('is needed for every route but those that tell nothing', async () => {
    const open: string[] = [];
    for (const { method, path, role } of apiRoutes(given.deps(), new Events(given.deps().temporal))) {
      const url = path.replaceAll(/\{\w+\}/g, 'x');
      const without = await app.inject({ method, url });
      const wrong = await app.inject({ method, url, headers: { authorization: 'Bearer homarus_wrong' } });
      if (role === 'anybody') open.push(path);
      else expect([path, without.statusCode, wrong.statusCode]).toEqual([path, 401, 401]);
    }
    expect(open.sort()).toEqual(['/health', '/ready']);
    expect(given.logged.filter(({ message }) => message === 'audit: refused').length).toBeGreaterThan(10);
  });

  test('of a reader reads, and changes nothing', async () => {
    for (const { method, path, role } of apiRoutes(given.deps(), new Events(given.deps().temporal))) {
      const url = path.replaceAll(/\{\w+\}/g, 'x');
      const { statusCode } = await app.inject({ method, url, headers: bearer(reader) });
      if (role === 'operate') expect([path, statusCode]).toEqual([path, 403]);
      else expect([path, [401, 403].includes(statusCode)]).toEqual([path, false]);
    }
    expect(given.started).toEqual([]);
    expect(given.asked).toEqual([]);
  });

  test('of an operator leaves a line in the log for each change, and its name in the operation', async () => {
    const started = await app.inject({ method: 'POST', url: '/v1/backups', headers: bearer(operator) });
    expect(started.statusCode).toBe(202);
    const by = 'ops by REST from 127.0.0.1';
    expect(given.started[0]?.request.by).toBe(by);
    expect(given.logged).toContainEqual({
      level: 'info',
      message: 'audit: startBackup',
      ...{ by, method: 'POST', path: '/v1/backups', operation: 'backup-east-x' },
    });
    expect(JSON.stringify(given.logged)).not.toContain(operator.token);
  });
});

describe('browsers', () => {
  test('are told to believe, keep and frame nothing', async () => {
    const { headers } = await app.inject('/health');
    expect(headers).toMatchObject({
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    });
  });

  test.each([
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ])('change nothing for a page of another origin: %j', async (headers) => {
    await app.close();
    await serve([]);
    const refused = await app.inject({ method: 'POST', url: '/v1/backups', headers });
    expect(refused.json()).toMatchObject({ status: 403, title: 'NotAllowed' });
    expect(given.started).toEqual([]);
    const own = { origin: 'http://localhost:80', host: 'localhost:80', 'sec-fetch-site': 'same-origin' };
    expect(
      (await app.inject({ method: 'POST', url: '/v1/backups', headers: { ...own, host: 'localhost' } })).statusCode,
    ).toBe(202);
  });

  test('do not reach it without tokens under a name that somebody gave to this machine', async () => {
    await app.close();
    await serve([]);
    const asked = (host: string) => app.inject({ url: '/v1/backups', headers: { host } });
    expect((await asked('rebound.evil.example:5515')).statusCode).toBe(403);
    for (const host of ['localhost:5515', '127.0.0.1:5515', '[::1]:5515'])
      expect((await asked(host)).statusCode).toBe(200);
  });
});
