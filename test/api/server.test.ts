import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { FastifyInstance, InjectOptions } from 'fastify';
import { createApi } from '../../src/api/server.ts';
import { HomarusError } from '../../src/domain/errors.ts';
import { listMarks, noteDrill } from '../../src/storage/marks.ts';
import { givenBackup } from '../storage/given.ts';
import { GivenApi, operationOf } from './given.ts';

const FIRST = '2026-11-23T03-15-00Z';
const SECOND = '2026-11-24T03-15-00Z';

let given: GivenApi;
let app: FastifyInstance;

beforeEach(async () => {
  given = await GivenApi.create();
  app = createApi(given.deps());
});
afterEach(() => app.close());

const ask = (method: InjectOptions['method'], url: string, payload?: object, headers = {}) =>
  app.inject({ method: method as 'GET', url, headers, ...(payload ? { payload } : {}) });

describe('health', () => {
  test('is healthy while it lives, and ready while Temporal answers', async () => {
    expect((await app.inject('/health')).json()).toEqual({ status: 'ok', cluster: 'east' });
    expect((await app.inject('/ready')).statusCode).toBe(200);
    given.away = new HomarusError('TemporalUnreachable', 'Temporal does not answer at x:7233');
    const refused = await app.inject('/ready');
    expect(refused.statusCode).toBe(503);
    expect(refused.headers['content-type']).toMatch('application/problem+json');
    expect(refused.json()).toMatchObject({ title: 'TemporalUnreachable', status: 503, hint: expect.any(String) });
    expect((await app.inject('/health')).statusCode).toBe(200);
  });

  test('shows of the cluster what can be seen, and says what cannot', async () => {
    await givenBackup(given.repository, FIRST, [['a']]);
    const seen = (await app.inject('/v1/cluster')).json();
    expect(seen).toMatchObject({ cluster: 'east', coordinators: 1, problems: [], lastBackup: { name: FIRST } });
    given.away = new HomarusError('TemporalUnreachable', 'Temporal does not answer');
    const half = (await app.inject('/v1/cluster')).json();
    expect(half).toMatchObject({
      nodes: null,
      lastBackup: { name: FIRST },
      problems: [{ title: 'TemporalUnreachable' }],
    });
  });
});

describe('backups', () => {
  test('are listed newest first, and answered with 304 while nothing changes', async () => {
    await givenBackup(given.repository, FIRST, [['a']]);
    await givenBackup(given.repository, SECOND, [['b']]);
    const listed = await app.inject('/v1/backups');
    const { cluster, storage, backups } = listed.json();
    expect({ cluster, storage }).toEqual({ cluster: 'east', storage: 'main' });
    expect(backups.map(({ name }: { name: string }) => name)).toEqual([SECOND, FIRST]);
    const headers = { 'if-none-match': String(listed.headers.etag) };
    expect((await app.inject({ url: '/v1/backups', headers })).statusCode).toBe(304);
    expect((await ask('PUT', `/v1/backups/${FIRST}/pin`)).statusCode).toBe(200);
    const changed = await app.inject({ url: '/v1/backups', headers });
    expect(changed.json().backups.map(({ pinned }: { pinned: boolean }) => pinned)).toEqual([false, true]);
  });

  test('are listed and shown while Temporal is away', async () => {
    await givenBackup(given.repository, FIRST, [['a']]);
    given.away = new HomarusError('TemporalUnreachable', 'Temporal does not answer');
    expect((await app.inject('/v1/backups')).json().backups.length).toBe(1);
    const shown = await app.inject('/v1/backups/latest');
    expect(shown.json()).toMatchObject({ name: FIRST, manifest: { cluster: 'east', nodes: [] } });
    expect((await ask('POST', '/v1/backups')).statusCode).toBe(503);
  });

  test('are started once for a key, and seen where the answer says', async () => {
    const body = { label: 'nightly', waitForLock: 1_000, withoutNodes: ['n2'], allowMissing: 1 };
    const started = await ask('POST', '/v1/backups', body, { 'idempotency-key': 'night-1' });
    expect(started.statusCode).toBe(202);
    expect(started.json()).toEqual({ operation: 'backup-east-night-1' });
    expect(started.headers.location).toBe('/v1/operations/backup-east-night-1');
    expect(given.started).toEqual([{ name: 'backup', request: { by: 'REST 127.0.0.1', ...body }, key: 'night-1' }]);
    expect((await ask('POST', '/v1/backups')).statusCode).toBe(202);
  });

  test('are pinned until a time, and unpinned', async () => {
    await givenBackup(given.repository, FIRST, [['a']]);
    const until = '2099-01-01T00:00:00Z';
    const pinned = await ask('PUT', `/v1/backups/${FIRST}/pin`, { until, note: 'audit' });
    expect(pinned.json()).toEqual({ backup: FIRST, until });
    expect(await listMarks(given.repository)).toMatchObject([{ backup: FIRST, note: 'audit', by: 'REST 127.0.0.1' }]);
    expect((await ask('PUT', `/v1/backups/${FIRST}/pin`, { until: '2001-01-01T00:00:00Z' })).json().detail).toMatch(
      /^body\.until: .* is over already/,
    );
    expect((await ask('DELETE', `/v1/backups/${FIRST}/pin`)).json()).toEqual({ backup: FIRST, removed: 1 });
    expect(await listMarks(given.repository)).toEqual([]);
  });

  test('are removed by name, unless they are pinned', async () => {
    await givenBackup(given.repository, FIRST, [['a']]);
    await ask('PUT', `/v1/backups/${FIRST}/pin`);
    const refused = await ask('DELETE', `/v1/backups/${FIRST}`);
    expect(refused.json()).toMatchObject({ status: 400, detail: `backup: ${FIRST} stays: pinned` });
    await ask('DELETE', `/v1/backups/${FIRST}/pin`);
    expect((await ask('DELETE', `/v1/backups/${FIRST}`)).statusCode).toBe(202);
    expect(given.started).toMatchObject([{ name: 'cleanup', request: { backups: [FIRST] } }]);
    expect((await ask('DELETE', '/v1/backups/latest')).json().detail).toMatch('give a name');
    expect((await ask('DELETE', '/v1/backups/2026-11-23T99')).json()).toMatchObject({
      title: 'BackupNotFound',
      hint: expect.stringContaining(FIRST),
    });
  });
});

test('a plan of a cleanup judges as the cleanup would, and the rules of a request take the place of configured ones', async () => {
  await givenBackup(given.repository, FIRST, [['a']]);
  await givenBackup(given.repository, SECOND, [['b']]);
  const plan = async (retention: object) =>
    (await ask('POST', '/v1/cleanups/plan', { retention })).json().verdicts.map(({ keep }: { keep: boolean }) => keep);
  expect(await plan({})).toEqual([false, true]);
  expect(await plan({ keepLast: 'unlimited' })).toEqual([true, true]);
  await ask('POST', '/v1/cleanups', { retention: { keepDays: 3 }, orphans: true, rewrite: { maxUnused: 0.1 } });
  expect(given.started).toMatchObject([
    {
      name: 'cleanup',
      request: { retention: { keepLast: 1, keepDays: 3 }, orphans: true, rewrite: { maxUnused: 0.1 } },
    },
  ]);
});

test('a restore is planned and started, unless there is no such backup', async () => {
  await givenBackup(given.repository, FIRST, [['a']]);
  const body = {
    backup: 'latest',
    nodes: ['n1'],
    map: [{ from: 'n2', to: 'n1' }],
    paths: ['log/**'],
    to: '/elsewhere',
  };
  expect((await ask('POST', '/v1/restores/plan', body)).json()).toEqual({ operation: 'preview-east-x' });
  expect((await ask('POST', '/v1/restores', { ...body, waitForLock: 1 })).statusCode).toBe(202);
  const by = 'REST 127.0.0.1';
  expect(given.started).toEqual([
    { name: 'preview', request: { by, ...body }, key: undefined },
    { name: 'restore', request: { by, ...body, waitForLock: 1 }, key: undefined },
  ]);
  expect((await ask('POST', '/v1/restores', { backup: SECOND })).json()).toMatchObject({ title: 'BackupNotFound' });
  const before = { backup: FIRST, before: '2026-01-01T00:00:00Z' };
  expect((await ask('POST', '/v1/restores', before)).json().detail).toMatch('give one of them');
  expect(given.started.length).toBe(2);
});

test('a drill of a backup is started, and what drills found is listed', async () => {
  await givenBackup(given.repository, FIRST, [['a']]);
  const drilled = { operation: 'drill-1', ok: true, percent: 10, files: 1, bytes: 2, fetchedBytes: 3, tookMs: 4 };
  const drill = { ...drilled, expectedMs: 5, checked: false };
  await noteDrill(given.repository, FIRST, { by: 'cron', drill });
  expect((await app.inject('/v1/drills')).json()).toEqual({
    drills: [{ backup: FIRST, by: 'cron', at: expect.any(String), ...drill }],
  });
  await ask('POST', '/v1/drills', { backup: FIRST, percent: 10, node: 'n2', directory: '/scratch', check: true });
  await ask('POST', '/v1/drills');
  const by = 'REST 127.0.0.1';
  expect(given.started).toEqual([
    {
      name: 'drill',
      request: { by, backup: FIRST, percent: 10, node: 'n2', directory: '/scratch', check: true },
      key: undefined,
    },
    { name: 'drill', request: { by }, key: undefined },
  ]);
  expect((await ask('POST', '/v1/drills', { backup: SECOND })).json()).toMatchObject({ title: 'BackupNotFound' });
});

test('what a backup would do is asked of the nodes by an operation', async () => {
  expect((await ask('POST', '/v1/backups/plan', { withoutNodes: ['n1'] })).json()).toEqual({
    operation: 'estimate-east-x',
  });
  expect(given.started).toMatchObject([{ name: 'estimate', request: { withoutNodes: ['n1'] } }]);
});

test('metrics are those of the process; where it counts none, it says what to set', async () => {
  const { headers, body } = await app.inject('/metrics');
  expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(body).toBe('homarus_backups 1\n');
  const uncounted = createApi({ ...given.deps(), metrics: null });
  expect((await uncounted.inject('/metrics')).json()).toMatchObject({
    status: 404,
    hint: expect.stringMatching('metrics'),
  });
  await uncounted.close();
});

test('schedules are listed, paused with a note, resumed and triggered', async () => {
  expect((await app.inject('/v1/schedules')).json().schedules).toMatchObject([{ name: 'nightly' }]);
  await ask('POST', '/v1/schedules/nightly/pause', { note: 'it moves' });
  await ask('POST', '/v1/schedules/nightly/resume');
  expect(given.asked).toEqual([
    'pause nightly: paused by REST 127.0.0.1: it moves',
    'resume nightly: resumed by REST 127.0.0.1',
  ]);
  const triggered = await ask('POST', '/v1/schedules/nightly/trigger');
  expect(triggered.json()).toEqual({ schedule: 'nightly', operation: 'backup-east-nightly' });
  expect((await ask('POST', '/v1/schedules/x/trigger')).json()).toMatchObject({
    status: 404,
    title: 'ScheduleNotFound',
  });
});

describe('operations', () => {
  test('are listed, shown and cancelled', async () => {
    given.operations.set('backup-1', operationOf('backup-1'));
    expect((await app.inject('/v1/operations')).json().operations).toMatchObject([{ id: 'backup-1', by: 'cron' }]);
    expect((await app.inject('/v1/operations/backup-1')).json()).toMatchObject({ state: 'running' });
    expect((await ask('POST', '/v1/operations/backup-1/cancel')).statusCode).toBe(202);
    await ask('DELETE', '/v1/locks/backup-1');
    expect(given.asked).toEqual(['cancel backup-1', 'unlock backup-1']);
  });

  test('of other kinds are started, too', async () => {
    await ask('POST', '/v1/verifications', { readData: { percent: 10 } });
    await ask('POST', '/v1/locks', { for: 60_000 });
    expect(given.started).toMatchObject([
      { name: 'verify', request: { readData: { percent: 10 } } },
      { name: 'lock', request: { for: 60_000 } },
    ]);
  });
});

describe('what is refused', () => {
  test.each([
    ['POST', '/v1/backups', { labl: 'x' }, {}, /body: Unrecognized key: "labl"/],
    ['POST', '/v1/backups', { label: 7 }, {}, /body\.label: .*expected string/],
    ['POST', '/v1/backups', { withoutNodes: ['n9'] }, {}, /withoutNodes: there is no n9/],
    ['POST', '/v1/backups', {}, { 'idempotency-key': 'a b' }, /Idempotency-Key: use 1 to 64/],
    ['GET', '/v1/backups?storage=none', undefined, {}, /storage: there is no "none"/],
    ['GET', '/v1/backups?storag=main', undefined, {}, /query: Unrecognized key: "storag"/],
    ['GET', '/v1/cluster?storage=none', undefined, {}, /storage: there is no "none"/],
    ['GET', '/v1/operations?limit=x', undefined, {}, /query\.limit/],
    ['POST', '/v1/restores', { backup: 'latest', to: 'x' }, {}, /body\.to: give an absolute path/],
    ['POST', '/v1/restores', {}, {}, /body\.backup/],
    ['POST', '/v1/drills', { node: 'n9' }, {}, /body\.node: there is no n9/],
    ['POST', '/v1/drills', { percent: 0 }, {}, /body\.percent/],
    ['POST', '/v1/backups/plan', { withoutNodes: ['n9'] }, {}, /withoutNodes: there is no n9/],
    ['POST', '/v1/locks', undefined, {}, /body: .*expected object/],
    ['POST', '/v1/cleanups/plan', { retention: { keepWithin: '9x' } }, {}, /body\.retention\.keepWithin: give a span/],
  ] as const)('%s %s %j: the field is named, and nothing is started', async (method, url, body, headers, detail) => {
    const refused = await ask(method, url, body, headers);
    expect(refused.json()).toMatchObject({ status: 400, title: 'BadInput', detail: expect.stringMatching(detail) });
    expect(given.started).toEqual([]);
  });

  test.each([
    ['GET', '/v1/operations/nothing', undefined, {}, 404, 'OperationNotFound'],
    ['GET', '/elsewhere', undefined, {}, 404, 'RouteNotFound'],
    ['DELETE', '/v1/cluster', undefined, {}, 405, 'MethodNotAllowed'],
    ['POST', '/v1/backups', '{', { 'content-type': 'application/json' }, 400, 'BadInput'],
    ['POST', '/v1/backups', 'null', { 'content-type': 'application/json' }, 400, 'BadInput'],
    ['POST', '/v1/backups', 'x', { 'content-type': 'text/plain' }, 415, 'BodyNotJson'],
    ['POST', '/v1/backups', `"${'x'.repeat(600_000)}"`, { 'content-type': 'application/json' }, 413, 'BodyTooLarge'],
  ])('%s %s %j %j is %i %s in the one shape', async (method, url, payload, headers, status, title) => {
    const refused = await app.inject({ method: method as 'GET', url, headers, ...(payload ? { payload } : {}) });
    expect(refused.statusCode).toBe(status);
    expect(refused.headers['content-type']).toMatch('application/problem+json');
    expect(refused.json()).toMatchObject({ status, title, detail: expect.any(String), hint: expect.any(String) });
    if (status === 405) expect(refused.headers.allow).toBe('GET');
  });

  test('a defect tells its user nothing of the inside, and the log all', async () => {
    given.away = new Error('secret of the inside');
    const failed = await app.inject('/v1/operations');
    expect(failed.json()).toMatchObject({ status: 500, title: 'Internal', detail: 'the facade failed' });
    expect(given.logged.find(({ level }) => level === 'error')?.error).toContain('secret of the inside');
  });
});
