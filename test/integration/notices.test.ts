import { once } from 'node:events';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { makeSampleTree } from '../../src/cli/sampleTree.ts';
import type { ScheduleStatus } from '../../src/client/schedules.ts';
import type { Notice } from '../../src/domain/notices.ts';
import { freePort } from '../../src/servers.ts';
import { TestCluster } from '../support/cluster.ts';
import { comes } from '../support/patience.ts';

/** What people are told who do not look: notices and metrics, of real processes. */

const LONG = 120_000;
let cluster: TestCluster;
let server: Server;
/** The first try of each notice is refused. */
const refused = new Set<string>();
const heard: Notice[] = [];
const ports: Record<string, number> = {};

beforeAll(async () => {
  server = createServer(async (request, response) => {
    const notice = (await json(request)) as Notice;
    response.statusCode = refused.has(notice.message) ? 204 : 503;
    if (response.statusCode === 204) heard.push(notice);
    refused.add(notice.message);
    response.end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  for (const name of ['coordinator', 'n1']) ports[name] = await freePort();
  cluster = await TestCluster.start({
    storage: 's3',
    nodes: ['n1'],
    more: {
      notifications: {
        pager: { on: ['succeeded', 'failed', 'overdue', 'missed'], operations: ['backup'], webhook: { url } },
      },
      backup: { alertAfter: '1d' },
      // None comes due while this runs, unless a test hurries it.
      schedules: { tidy: { operation: 'cleanup', every: '365d', catchUp: '10s' } },
    },
    env: (name) => ({ HOMARUS_METRICS: `127.0.0.1:${ports[name]}` }),
  });
  makeSampleTree(cluster.root('n1'), { seed: 1, files: 20 });
}, LONG);
afterAll(async () => {
  await cluster?.stop();
  server?.close();
}, LONG);

async function told(fits: (notice: Notice) => boolean): Promise<Notice> {
  for (;;) {
    const notice = heard.find(fits);
    if (notice !== undefined) return notice;
    await pause(50);
  }
}

const scraped = async (process: string): Promise<string> =>
  (await fetch(`http://127.0.0.1:${ports[process]}/metrics`)).text();

async function untilScraped(process: string, line: RegExp): Promise<void> {
  while (!line.test(await scraped(process))) await pause(200);
}

test(
  'a cluster without a backup is overdue, and says so',
  async () => {
    expect(await told(({ event }) => event === 'overdue')).toMatchObject({
      cluster: 'east',
      message: 'cluster east has no complete backup of the last 1 d: there is none',
    });
    await untilScraped('coordinator', /^homarus_last_success_timestamp_seconds\{[^}]*cluster="east"[^}]*\} 0$/m);
  },
  LONG,
);

test(
  'the end of a backup is told though the first try is refused, and counted at the endpoint of each process',
  async () => {
    const { operation, backup } = await cluster.does('backup');
    expect(await told(({ operation: of }) => of?.id === operation)).toMatchObject({
      event: 'succeeded',
      operation: { kind: 'backup', by: 'tester', backup },
    });
    await untilScraped(
      'coordinator',
      /^homarus_operations_total\{[^}]*operation="backup"[^}]*result="succeeded"[^}]*\} 1$/m,
    );
    await untilScraped('coordinator', /^homarus_phase_seconds_bucket\{[^}]*phase="upload"/m);
    await untilScraped('coordinator', /^homarus_event_loop_lag_seconds\{/m);
    await untilScraped('coordinator', /^temporal_worker_task_slots_available\{/m);
    await untilScraped('n1', /^homarus_bytes_total\{[^}]*kind="stored"[^}]*node="n1"[^}]*\} [1-9]/m);
    await untilScraped('n1', /^homarus_storage_requests_total\{[^}]*what="tries"[^}]*\} [1-9]/m);

    // A cleanup is not among what the pager wants.
    await cluster.does('cleanup', '--keep-last', '5', '--yes');
    const failed = await cluster.homarus('backup', '--without-node', 'n9');
    expect(failed.json.error).toMatchObject({ code: 'BadInput' });
    expect(heard.map(({ event }) => event).sort()).toEqual(['overdue', 'succeeded']);
  },
  LONG,
);

test(
  'starts that a schedule misses while Temporal is away for longer than they are made up for are counted, and told',
  async () => {
    const tidy = async () => {
      const { schedules } = (await cluster.does('schedules', 'list')) as { schedules: ScheduleStatus[] };
      return schedules[0] as ScheduleStatus;
    };
    expect(await tidy()).toMatchObject({ name: 'tidy', missed: 0, last: null });
    const handle = cluster.client.schedule.getHandle('homarus-east-tidy');
    await handle.update((known) => ({ ...known, spec: { intervals: [{ every: '2s' }] } }));
    await comes(
      () => 'a start',
      async () => (await tidy()).last ?? undefined,
    );
    await cluster.killTemporal();
    // What was due in the last 10 s is made up for.
    await pause(14_000);
    await cluster.startTemporalAgain();
    const missed = await comes(
      () => 'starts to be missed',
      async () => (await tidy()).missed || undefined,
    );
    await cluster.does('schedules', 'pause', 'tidy');
    const status = await cluster.homarus('status');
    expect(status.json.result?.schedules).toMatchObject([{ name: 'tidy', missed: expect.any(Number) }]);
    expect(missed).toBeGreaterThan(0);
    const doctor = await cluster.does('doctor');
    expect(JSON.stringify(doctor)).toMatch(/missed starts: tidy \(\d+\)/);
    // A coordinator looks when it starts, and each minute.
    await cluster.shutDown('coordinator');
    await cluster.launch('coordinator');
    expect(await told(({ event }) => event === 'missed')).toMatchObject({
      cluster: 'east',
      schedule: 'tidy',
      message: expect.stringMatching(/^schedule tidy of cluster east has missed \d+ of its starts so far$/),
    });
  },
  LONG,
);
