import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { newToken } from '../../src/api/tokens.ts';
import { differences, fingerprint, makeSampleTree } from '../../src/cli/sampleTree.ts';
import type { OperationStatus } from '../../src/client/progress.ts';
import { freePort } from '../../src/servers.ts';
import { TestCluster } from '../support/cluster.ts';
import { comes } from '../support/patience.ts';

/** The facade of a real cluster, asked as programs do. */

const LONG = 120_000;
const operator = newToken('ops', 'operate');
const reader = newToken('grafana', 'read');
let cluster: TestCluster;

beforeAll(async () => {
  const metrics = await freePort();
  cluster = await TestCluster.start({
    storage: 'files',
    nodes: ['n1', 'n2'],
    lock: { ttl: '12s', refresh: '1s', heartbeat: '5s', throttle: '500ms' },
    env: (name): Record<string, string> => (name === 'api' ? { HOMARUS_METRICS: `127.0.0.1:${metrics}` } : {}),
    more: ({ api }) => ({
      api: {
        port: Number(new URL(api).port),
        tokens: [operator, reader].map(({ token: _, ...hash }) => hash),
      },
    }),
  });
  for (const [seed, node] of cluster.nodes.entries())
    makeSampleTree(cluster.root(node), { seed, sharedSeed: 7, files: 100 });
  await cluster.launch('api');
}, LONG);
afterAll(() => cluster?.stop(), LONG);

interface Told {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: what tests look into
  json: any;
}

async function ask(
  method: string,
  path: string,
  body?: object,
  { token }: { token: string } = operator,
): Promise<Told> {
  const answer = await fetch(`${cluster.api}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return { status: answer.status, json: await answer.json() };
}

/** What the events of an operation say, to the last. */
async function follow(id: string): Promise<{ event: string; data: OperationStatus }[]> {
  const answer = await fetch(`${cluster.api}/v1/operations/${id}/events`, {
    headers: { authorization: `Bearer ${reader.token}` },
  });
  return (await answer.text())
    .split('\n\n')
    .map((block) => /^event: (\w+)\ndata: (.*)$/.exec(block))
    .filter((found) => found !== null)
    .map(([, event = '', data = '']) => ({ event, data: JSON.parse(data) as OperationStatus }));
}

async function does(path: string, body?: object): Promise<OperationStatus> {
  const { status, json } = await ask('POST', path, body);
  expect({ status, json }).toMatchObject({ status: 202 });
  const events = await follow(json.operation);
  const { event, data } = events.at(-1)!;
  expect({ event, error: data.error }).toEqual({ event: 'end', error: null });
  return data;
}

test(
  'a backup is started, followed to its end, shown, pinned, and restored as it was planned',
  async () => {
    const backup = await does('/v1/backups', { label: 'by REST' });
    const name = (backup.result as { backup: string }).backup;
    expect(backup.by).toMatch(/^ops by REST from /);
    expect((await ask('GET', '/v1/backups')).json.backups).toMatchObject([{ name, label: 'by REST' }]);
    expect((await ask('GET', `/v1/backups/${name}`)).json.manifest.nodes.length).toBe(2);
    await ask('PUT', `/v1/backups/${name}/pin`, { note: 'kept' });
    expect((await ask('GET', '/v1/backups')).json.backups).toMatchObject([{ name, pinned: true }]);
    expect((await ask('DELETE', `/v1/backups/${name}`)).json.detail).toMatch('pinned');

    const before = fingerprint(cluster.root('n1'));
    rmSync(join(cluster.root('n1'), 'log'), { recursive: true });
    const plan = (await does('/v1/restores/plan', { backup: name })).result as {
      pairs: { from: string; to: string }[];
      fetchBytes: number;
    };
    expect(plan.pairs).toMatchObject([{ from: 'n1' }, { from: 'n2' }]);
    expect(plan.fetchBytes).toBeGreaterThan(0);
    const map = plan.pairs.map(({ from, to }) => ({ from, to }));
    const restored = (await does('/v1/restores', { backup: name, map })).result as { fetchedBytes: number };
    expect(restored.fetchedBytes).toBeGreaterThan(0);
    expect(differences(before, fingerprint(cluster.root('n1'))).filter((path) => path !== '')).toEqual([]);
    await ask('DELETE', `/v1/backups/${name}/pin`);

    const estimate = (await does('/v1/backups/plan')).result;
    expect(estimate).toMatchObject({ nodes: [{ node: 'n1' }, { node: 'n2' }], missing: [] });
    const drill = await does('/v1/drills', { backup: name, percent: 50 });
    expect(drill.result).toMatchObject({ backup: name, percent: 50 });
    expect((await ask('GET', '/v1/drills', undefined, reader)).json.drills).toMatchObject([
      { backup: name, operation: drill.id, ok: true, percent: 50 },
    ]);
  },
  LONG,
);

test(
  'its metrics are behind its tokens, too',
  async () => {
    const scrape = (token: string) =>
      fetch(`${cluster.api}/metrics`, { headers: { authorization: `Bearer ${token}` } });
    expect((await scrape('wrong')).status).toBe(401);
    expect((await scrape(reader.token)).headers.get('content-type')).toMatch(/^text\/plain/);
    // Sampled every some seconds.
    await comes(
      () => 'a metric of the facade',
      async () =>
        /^homarus_event_loop_lag_seconds\{.*process="api"/m.test(await (await scrape(reader.token)).text()) ||
        undefined,
    );
  },
  LONG,
);

test(
  'a key starts one operation, and only for one request',
  async () => {
    const post = (body: object, path = '/v1/verifications') =>
      fetch(`${cluster.api}${path}`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${operator.token}`,
          'content-type': 'application/json',
          'idempotency-key': 'one',
        },
        body: JSON.stringify(body),
      });
    const first = await post({ readData: { percent: 1 } });
    const again = await post({ readData: { percent: 1 } });
    expect(await again.json()).toEqual({ operation: 'verify-east-one' });
    expect(first.status).toBe(202);
    const other = await post({});
    expect({ status: other.status, ...((await other.json()) as object) }).toMatchObject({
      status: 422,
      title: 'KeyReused',
    });
    await cluster.end('verify-east-one');
    // It is remembered when it has ended, too.
    expect((await post({ readData: { percent: 1 } })).status).toBe(202);
    expect(
      (await ask('GET', '/v1/operations?limit=1000')).json.operations.filter(
        ({ kind }: { kind: string }) => kind === 'verify',
      ).length,
    ).toBe(1);
  },
  LONG,
);

describe('a lock', () => {
  test(
    'is taken, seen, and let go; what is no lock is not unlocked, what is no operation of the cluster not found',
    async () => {
      const { operation } = (await ask('POST', '/v1/locks', { for: 60_000 })).json;
      await cluster.until(operation, ({ progress }) => progress?.phase === 'held');
      const seen = (await ask('GET', '/v1/cluster', undefined, reader)).json;
      expect(seen).toMatchObject({
        lock: { holder: { operation } },
        nodes: [{ alive: true }, { alive: true }],
        problems: [],
      });
      expect((await ask('DELETE', `/v1/locks/${operation}`)).status).toBe(202);
      expect((await cluster.end(operation)).result).toEqual({ ended: 'unlocked' });
      expect((await ask('DELETE', '/v1/locks/verify-east-one')).json).toMatchObject({ title: 'BadInput' });
      await cluster.client.workflow.start('x', { workflowId: 'stranger', taskQueue: 'elsewhere' });
      expect((await ask('GET', '/v1/operations/stranger')).status).toBe(404);
      expect((await ask('POST', '/v1/operations/stranger/cancel')).status).toBe(404);
    },
    LONG,
  );
});

test(
  'what changes something needs a token that may, and is told in the log',
  async () => {
    expect((await ask('POST', '/v1/backups', undefined, reader)).json).toMatchObject({
      status: 403,
      title: 'NotAllowed',
    });
    expect((await ask('GET', '/v1/backups', undefined, { token: 'no' })).json).toMatchObject({ title: 'TokenMissing' });
    const log = cluster.logOf('api');
    expect(log).toMatch(/"message":"audit: startBackup","by":"ops by REST from 127\.0\.0\.1"/);
    expect(log).toMatch(/"message":"audit: refused"/);
    expect(log).not.toContain(operator.token);
  },
  LONG,
);

test(
  'scripts of Astacus work: a refused lock is a 409 of the POST, what is started is polled by its number, and names go by both forms',
  async () => {
    type Started = { op_id: number; status_url: string };
    const poll = async (kind: string, { op_id }: Started): Promise<string> => {
      for (;;) {
        const { state } = (await ask('GET', `/${kind}/${op_id}`, undefined, reader)).json;
        if (state === 'done' || state === 'fail') return state;
      }
    };
    const lock = (await ask('POST', '/lock?locker=script&ttl=60')).json as Started;
    expect(await poll('lock', lock)).toBe('done');
    expect((await ask('GET', '/busy', undefined, reader)).json).toBe(true);
    for (const path of ['/backup', '/cleanup', '/restore']) {
      const { status, json } = await ask('POST', path);
      expect({ status, code: json.detail.code }).toEqual({ status: 409, code: 'cluster_lock_unavailable' });
      expect(json.reason).toMatch('by script');
    }
    expect((await ask('POST', '/unlock?locker=other')).status).toBe(409);
    expect(await poll('unlock', (await ask('POST', '/unlock?locker=script')).json)).toBe('done');

    const backup = (await ask('POST', '/backup')).json as Started;
    expect(backup.status_url).toBe(`${cluster.api}/backup/${backup.op_id}`);
    expect(await poll('backup', backup)).toBe('done');
    const [{ backups }] = (await ask('GET', '/list', undefined, reader)).json.storages;
    expect(backups.length).toBe(2);
    const { name } = backups[1];
    const restore = { name: `backup-${name}`, partial_restore_nodes: [{ backup_index: 0, node_index: 0 }] };
    expect(await poll('restore', (await ask('POST', '/restore', restore)).json)).toBe('done');
    expect(await poll('restore', (await ask('POST', '/restore', { name: 'nothing' })).json)).toBe('fail');
    const deletion = (await ask('POST', '/cleanup', { explicit_delete: [`backup-${name}`] })).json;
    expect(await poll('cleanup', deletion)).toBe('done');
    expect((await ask('GET', '/v1/backups')).json.backups).toMatchObject([{ label: 'by REST' }]);
  },
  LONG,
);

test(
  'without Temporal backups are listed and shown, and the rest says so soon; the facade even starts',
  async () => {
    await cluster.killTemporal();
    try {
      for (const again of [false, true]) {
        if (again) {
          await cluster.shutDown('api');
          await cluster.launch('api');
        }
        expect((await ask('GET', '/v1/backups')).json.backups.length).toBe(1);
        expect((await ask('GET', '/v1/backups/latest')).status).toBe(200);
        const refused = [
          ['POST', '/v1/backups'],
          ['GET', '/v1/operations'],
          ['GET', '/v1/operations/x'],
          ['GET', '/ready'],
        ] as const;
        const answers = await Promise.all(refused.map(([method, path]) => ask(method, path)));
        for (const { json } of answers) expect(json).toMatchObject({ status: 503, title: 'TemporalUnreachable' });
        expect((await ask('GET', '/v1/cluster')).json).toMatchObject({ nodes: null, lastBackup: { label: 'by REST' } });
      }
    } finally {
      await cluster.startTemporalAgain();
    }
    let ready = 0;
    while (ready !== 200) ready = (await fetch(`${cluster.api}/ready`)).status;
  },
  LONG,
);
