import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { FastifyInstance } from 'fastify';
import { createApi } from '../../src/api/server.ts';
import { HomarusError } from '../../src/domain/errors.ts';
import type { BackupRequest } from '../../src/domain/operations.ts';
import { backupOf } from '../storage/given.ts';

let app: FastifyInstance;
let asked: { request: BackupRequest; key: string | undefined }[];
let temporal: Error | undefined;

beforeEach(() => {
  asked = [];
  temporal = undefined;
  app = createApi({
    cluster: 'east',
    async listBackups(storage) {
      if (storage === 'none') throw new HomarusError('BadInput', 'storage: there is no "none"');
      return [backupOf('2026-11-24T03-15-00Z', 3)];
    },
    async startBackup(request, key) {
      asked.push({ request, key });
      return `backup-east-${key ?? 'x'}`;
    },
    async operation(id) {
      throw new HomarusError('OperationNotFound', `Temporal knows no running operation ${id}`);
    },
    async checkTemporal() {
      if (temporal) throw temporal;
    },
  });
});
afterEach(() => app.close());

describe('the facade', () => {
  test('is healthy while it lives, and ready while Temporal answers', async () => {
    expect((await app.inject('/health')).json()).toEqual({ status: 'ok', cluster: 'east' });
    expect((await app.inject('/ready')).statusCode).toBe(200);
    temporal = new HomarusError('TemporalUnreachable', 'Temporal does not answer at x:7233');
    const refused = await app.inject('/ready');
    expect(refused.statusCode).toBe(503);
    expect(refused.headers['content-type']).toMatch('application/problem+json');
    expect(refused.json()).toMatchObject({ title: 'TemporalUnreachable', status: 503, hint: expect.any(String) });
    expect((await app.inject('/health')).statusCode).toBe(200);
  });

  test('lists backups', async () => {
    const { cluster, backups } = (await app.inject('/v1/backups')).json();
    expect({ cluster, name: backups[0].name }).toEqual({ cluster: 'east', name: '2026-11-24T03-15-00Z' });
    const wrong = await app.inject('/v1/backups?storage=none');
    expect(wrong.statusCode).toBe(400);
    expect(wrong.json()).toMatchObject({ title: 'BadInput', detail: 'storage: there is no "none"' });
  });

  test('starts a backup and says where it is seen', async () => {
    const started = await app.inject({
      method: 'POST',
      url: '/v1/backups',
      payload: { label: 'nightly', waitForLock: 1_000, withoutNodes: ['n2'], allowMissing: 1 },
      headers: { 'idempotency-key': 'night-1' },
    });
    expect(started.statusCode).toBe(202);
    expect(started.json()).toEqual({ operation: 'backup-east-night-1' });
    expect(started.headers.location).toBe('/v1/operations/backup-east-night-1');
    expect(asked).toEqual([
      {
        request: {
          by: expect.stringContaining('REST'),
          label: 'nightly',
          waitForLock: 1_000,
          withoutNodes: ['n2'],
          allowMissing: 1,
        },
        key: 'night-1',
      },
    ]);
    expect((await app.inject({ method: 'POST', url: '/v1/backups' })).statusCode).toBe(202);
  });

  test.each([
    [{ labl: 'x' }, {}, /body: Unrecognized key: "labl"/],
    [{ label: 7 }, {}, /body\.label: .*expected string/],
    [{}, { 'idempotency-key': 'a b' }, /Idempotency-Key: use 1 to 64/],
  ])('names what is wrong with %j, and starts nothing', async (payload, headers, detail) => {
    const refused = await app.inject({ method: 'POST', url: '/v1/backups', payload, headers });
    expect(refused.statusCode).toBe(400);
    expect(refused.json().detail).toMatch(detail);
    expect(asked).toEqual([]);
  });

  test('answers in one shape what it does not know', async () => {
    const missing = await app.inject('/v1/operations/nothing');
    expect(missing.statusCode).toBe(404);
    expect(missing.json()).toMatchObject({ title: 'OperationNotFound', detail: expect.stringContaining('nothing') });
    expect((await app.inject('/elsewhere')).json()).toMatchObject({ status: 404, title: 'NotFound' });
    const broken = await app.inject({
      method: 'POST',
      url: '/v1/backups',
      payload: '{',
      headers: { 'content-type': 'application/json' },
    });
    expect(broken.json()).toMatchObject({ status: 400, title: 'BadInput' });
  });
});
