import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import type { FastifyInstance } from 'fastify';
import { operationOf as operationOfNumber, opIdOf } from '../../src/api/opIds.ts';
import { createApi } from '../../src/api/server.ts';
import { newToken } from '../../src/api/tokens.ts';
import { operationId } from '../../src/client/operations.ts';
import type { ManifestNode } from '../../src/domain/documents.ts';
import { HomarusError } from '../../src/domain/errors.ts';
import type { NodeProgress, OperationProgress } from '../../src/domain/operations.ts';
import { acquireLock } from '../../src/storage/lock.ts';
import { givenBackup, holderOf } from '../storage/given.ts';
import { GivenApi, operationOf } from './given.ts';

/** Astacus's coordinator interface, request by request. */

const FIRST = '2026-11-23T03-15-00Z';
const SECOND = '2026-11-24T03-15-00Z';
const STARTED = 'east-20261124T031500Z-4f2a';
const OP = 1_795_490_100 * 65_536 + 0x4f2a;
const by = 'REST 127.0.0.1';

let given: GivenApi;
let app: FastifyInstance;

beforeEach(async () => {
  given = await GivenApi.create();
  app = createApi(given.deps());
});
afterEach(() => app.close());

const get = (url: string) => app.inject({ url, headers: { host: 'localhost:5515' } });
const post = (url: string, payload?: object) =>
  app.inject({ method: 'POST', url, headers: { host: 'localhost:5515' }, ...(payload ? { payload } : {}) });
const node = (id: string, host: string): ManifestNode => ({ id, az: '', host, roots: [] });
const asked = () => given.started.map(({ name, request }) => ({ name, ...request }));

describe('the number of an operation', () => {
  test('leads back to its workflow', () => {
    const times = fc.date({ min: new Date('2020-01-01'), max: new Date('2100-01-01'), noInvalidDate: true });
    void fc.assert(
      fc.property(times, (now) => {
        const id = operationId('restore', 'prod-1', now);
        const number = opIdOf(id) as number;
        expect(Number.isSafeInteger(number)).toBe(true);
        expect(operationOfNumber('restore', 'prod-1', number)).toBe(id);
      }),
    );
  });

  test.each([-1, 1.5, 2 ** 53, Number.NaN])('%p is none', (number) => {
    expect(operationOfNumber('backup', 'east', number)).toBeUndefined();
  });
});

describe('starting', () => {
  test.each(['/backup', '/restore', '/cleanup'])(
    'POST %s answers op_id and status_url once the lock is held',
    async (url) => {
      const answer = await post(url);
      expect(answer.statusCode).toBe(200);
      expect(answer.json()).toEqual({ op_id: OP, status_url: `http://localhost:5515${url}/${OP}` });
      given.operations.set(`${url.slice(1)}-${STARTED}`, operationOf('x', { state: 'succeeded' }));
      expect((await get(`${url}/${OP}`)).json()).toMatchObject({ state: 'done' });
    },
  );

  test.each(['/backup', '/restore', '/cleanup'])('POST %s is refused with 409 where the lock is', async (url) => {
    for (const code of ['LockHeld', 'NodeUnavailable', 'NodeTaken'] as const) {
      given.refused = new HomarusError(code, 'somebody holds it');
      const refused = await post(url);
      expect(refused.statusCode).toBe(409);
      expect(refused.json()).toMatchObject({
        detail: { code: 'cluster_lock_unavailable', message: 'Unable to acquire cluster lock to create operation' },
        ...{ title: code, reason: 'somebody holds it' },
      });
    }
  });

  test('another failure is told by the state, as ever', async () => {
    given.refused = new HomarusError('BackupNotFound', 'there is no backup x');
    expect((await post('/restore', { name: 'x' })).statusCode).toBe(200);
  });

  test('503 without Temporal', async () => {
    given.away = new HomarusError('TemporalUnreachable', 'away');
    const refused = await post('/backup');
    expect(refused.statusCode).toBe(503);
    expect(refused.json().detail).toMatchObject({ code: 'TemporalUnreachable', message: 'away' });
  });
});

describe('POST /restore', () => {
  test.each([
    [{}, { backup: 'latest' }],
    [{ name: '', storage: '', partial_restore_nodes: null, stop_after_step: null, unknown: 1 }, { backup: 'latest' }],
    [
      { name: `backup-${FIRST}`, storage: 'main' },
      { backup: FIRST, storage: 'main' },
    ],
    [{ name: FIRST }, { backup: FIRST }],
  ])('%j', async (body, request) => {
    expect((await post('/restore', body)).statusCode).toBe(200);
    expect(asked()).toEqual([{ name: 'restore', by, ...request }]);
  });

  test('partial_restore_nodes name nodes by place, host name or URL', async () => {
    await givenBackup(given.repository, FIRST, [['a']], { nodes: [node('b1', 'host1'), node('b2', 'host2')] });
    const partial = [
      { backup_index: 1, node_index: 0 },
      { backup_hostname: 'host1', node_url: 'http://n3:5515/node' },
    ];
    expect((await post('/restore', { partial_restore_nodes: partial })).statusCode).toBe(200);
    const map = [
      { from: 'b2', to: 'n1' },
      { from: 'b1', to: 'n3' },
    ];
    expect(asked()).toEqual([{ name: 'restore', by, backup: 'latest', nodes: ['n1', 'n3'], map }]);
  });

  test.each([
    { storage: 7 },
    { storage: 'nowhere' },
    { stop_after_step: 'MapNodesStep' },
    { partial_restore_nodes: [{ backup_index: 0 }] },
    { partial_restore_nodes: [{ backup_index: 0, backup_hostname: 'x', node_index: 0 }] },
    { partial_restore_nodes: [{ backup_index: 0, node_index: 0, node_url: 'http://n1' }] },
    { partial_restore_nodes: [{ backup_index: 9, node_index: 0 }] },
    { partial_restore_nodes: [{ backup_index: 0, node_index: 9 }] },
  ])('422 for %j', async (body) => {
    await givenBackup(given.repository, FIRST, [['a']], { nodes: [node('b1', 'host1')] });
    const refused = await post('/restore', body);
    expect(refused.statusCode).toBe(422);
    expect(refused.json().detail).toMatchObject([{ loc: expect.arrayContaining(['body']), msg: expect.any(String) }]);
    expect(given.started).toEqual([]);
  });
});

describe('POST /cleanup', () => {
  test('goes by the configured retention, field by field overridden, in the storage that is named', async () => {
    await post('/cleanup');
    await post('/cleanup', { storage: 'main', retention: { minimum_backups: 0, maximum_backups: 2, keep_days: null } });
    expect(asked()).toEqual([
      { name: 'cleanup', by, retention: { keepLast: 1 } },
      { name: 'cleanup', by, storage: 'main', retention: { keepLast: 1, minimumBackups: 0, maximumBackups: 2 } },
    ]);
  });

  test('explicit_delete deletes what is there, by either name, and nothing else', async () => {
    await givenBackup(given.repository, FIRST, [['a']]);
    await givenBackup(given.repository, SECOND, [['b']]);
    await post('/cleanup', { explicit_delete: [`backup-${FIRST}`, 'backup-of-nobody'] });
    await post('/cleanup', { explicit_delete: [SECOND] });
    await post('/cleanup', { explicit_delete: [SECOND], retention: { maximum_backups: 1, minimum_backups: 0 } });
    expect(asked()).toEqual([
      { name: 'cleanup', by, backups: [FIRST] },
      { name: 'cleanup', by, backups: [SECOND] },
      { name: 'cleanup', by, backups: [SECOND] },
    ]);
  });

  test('explicit_delete with retention also deletes what that lets go of the others', async () => {
    await givenBackup(given.repository, FIRST, [['a']]);
    await givenBackup(given.repository, SECOND, [['b']]);
    await givenBackup(given.repository, '2026-11-25T03-15-00Z', [['c']]);
    await post('/cleanup', { explicit_delete: ['2026-11-25T03-15-00Z'], retention: { maximum_backups: 1 } });
    expect(asked()).toEqual([{ name: 'cleanup', by, backups: ['2026-11-25T03-15-00Z', FIRST] }]);
  });

  test.each([{ storage: 'nowhere' }, { retention: { keep_days: -1 } }, { explicit_delete: 'x' }])(
    '422 for %j',
    async (body) => {
      expect((await post('/cleanup', body)).statusCode).toBe(422);
      expect(given.started).toEqual([]);
    },
  );
});

describe('GET /{op_name}/{op_id}', () => {
  const progress = (phase: string, byNode: Record<string, Partial<NodeProgress>> = {}) =>
    ({
      progress: { phase, byNode } as unknown as OperationProgress & { byNode: Record<string, NodeProgress> },
    }) as const;
  const half = { n1: { filesDone: 3, filesTotal: 10 }, n2: { filesDone: 4, filesTotal: 5 } };

  test.each([
    ['backup', { ...progress('locking') }, 'starting', { handled: 0, failed: 0, total: 0, final: false }],
    ['backup', { progress: null }, 'starting', { handled: 0, failed: 0, total: 0, final: false }],
    ['backup', { ...progress('upload', half) }, 'running', { handled: 7, failed: 0, total: 15, final: false }],
    ['restore', { state: 'succeeded', result: { files: 9 } }, 'done', { handled: 9, failed: 0, total: 9, final: true }],
    ['restore', { state: 'failed' }, 'fail', { handled: 0, failed: 1, total: 1, final: true }],
    ['backup', { state: 'cancelled' }, 'fail', { handled: 0, failed: 1, total: 1, final: true }],
    ['cleanup', { state: 'succeeded' }, 'done', undefined],
    ['lock', { ...progress('held') }, 'done', undefined],
    ['lock', { ...progress('locking') }, 'starting', undefined],
    ['lock', { state: 'failed' }, 'fail', undefined],
    ['unlock', { ...progress('held') }, 'running', undefined],
    ['unlock', { state: 'succeeded' }, 'done', undefined],
  ] as const)('%s %j is %s', async (kind, status, state, shown) => {
    given.operations.set(`${kind === 'unlock' ? 'lock' : kind}-${STARTED}`, operationOf('x', status as object));
    expect((await get(`/${kind}/${OP}`)).json()).toEqual({ state, ...(shown ? { progress: shown } : {}) });
  });

  test('404 for a number that is no operation, 422 for what is no number', async () => {
    for (const op of [OP, 1, -1]) {
      const unknown = await get(`/backup/${op}`);
      expect(unknown.statusCode).toBe(404);
      expect(unknown.json()).toEqual({
        detail: { code: 'operation_id_mismatch', op, message: 'Unknown operation id' },
      });
    }
    expect((await get('/backup/x')).statusCode).toBe(422);
    expect((await get(`/elsewhere/${OP}`)).statusCode).toBe(404);
  });
});

test('GET /list has the fields of Astacus, for all storages or the one that is asked for', async () => {
  await givenBackup(given.repository, FIRST, [['a']]);
  await givenBackup(given.repository, SECOND, [['b']]);
  const { storages } = (await get('/list')).json();
  expect(storages.map(({ storage_name }: { storage_name: string }) => storage_name)).toEqual(['main']);
  expect(storages[0].backups).toEqual(
    [FIRST, SECOND].map((name) => ({
      ...{ name, start: '2025-01-01T00:00:00.000Z', end: '2025-01-01T00:01:00.000Z', plugin: 'files', attempt: 1 },
      ...{ nodes: 3, files: 1, total_size: 1, upload_size: 1, upload_stored_size: 1 },
      ...{ cluster_files: 1, cluster_data_size: 1, tiered_storage_size: null },
    })),
  );
  expect((await get('/list?storage=main')).json()).toEqual({ storages });
  expect((await get('/list?storage=nowhere')).statusCode).toBe(422);
});

describe('POST /lock and /unlock', () => {
  test('a lock is held for its locker and ttl, and its URL unlocks it', async () => {
    const id = `lock-${STARTED}`;
    given.startedAs = id;
    const answer = (await post('/lock?locker=a%20b&ttl=5')).json();
    const urls = {
      status_url: `http://localhost:5515/lock/${OP}`,
      unlock_url: 'http://localhost:5515/unlock?locker=a%20b',
    };
    expect(answer).toEqual({ op_id: OP, ...urls });
    await post('/lock?locker=c');
    expect(asked()).toEqual([
      { name: 'lock', by: 'a b', for: 5_000 },
      { name: 'lock', by: 'c', for: 60_000 },
    ]);

    given.operations.set(id, operationOf(id));
    expect((await post('/unlock?locker=a%20b')).statusCode).toBe(409);
    const holder = { ...holderOf(id), kind: 'lock', by: 'a b' } as const;
    await acquireLock(given.repository, holder, { nonce: 'x' });
    expect((await post('/unlock?locker=c')).statusCode).toBe(409);
    expect((await post('/unlock?locker=a%20b')).json()).toEqual({
      op_id: OP,
      status_url: `http://localhost:5515/unlock/${OP}`,
    });
    expect(given.asked).toEqual([`unlock ${id}`]);
  });

  test.each(['/lock', '/unlock', '/lock?locker=a&ttl=x'])('422 for %s', async (url) => {
    expect((await post(url)).statusCode).toBe(422);
  });
});

test('GET /busy is true while an operation runs or holds the lock', async () => {
  expect((await get('/busy')).json()).toBe(false);
  given.operations.set('x', operationOf('x'));
  expect((await get('/busy')).json()).toBe(true);
  given.operations.clear();
  await acquireLock(given.repository, holderOf('x'), { nonce: 'x' });
  expect((await get('/busy')).json()).toBe(true);
});

test('what there is nothing for says so', async () => {
  expect((await get('/')).json()).toEqual({});
  expect((await get('/delta/list')).json()).toEqual({ storages: [{ storage_name: 'main', backups: [] }] });
  for (const answer of [await post('/delta/backup'), await post('/config/reload'), await get('/config/status')]) {
    expect(answer.statusCode).toBe(501);
    expect(answer.json().detail).toMatchObject({ code: 'unsupported', message: expect.any(String) });
  }
});

test('a token may stand in the URL, which is all that the client of Astacus can send', async () => {
  const { token, ...hash } = newToken('cron', 'operate');
  const guarded = createApi(given.deps([hash]));
  const refused = await guarded.inject({ method: 'POST', url: '/backup' });
  expect(refused.statusCode).toBe(401);
  expect(refused.json().detail).toMatchObject({ code: 'TokenMissing' });
  const authorization = `Basic ${Buffer.from(`x:${token}`).toString('base64')}`;
  expect((await guarded.inject({ method: 'POST', url: '/backup', headers: { authorization } })).statusCode).toBe(200);
  expect(given.logged).toContainEqual(
    expect.objectContaining({ message: 'audit: POST /backup', by: 'cron by REST from 127.0.0.1' }),
  );
  await guarded.close();
});
