import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { makeSampleTree } from '../../src/cli/sampleTree.ts';
import type { ScheduleStatus } from '../../src/client/schedules.ts';
import { TestCluster } from '../support/cluster.ts';

/** Schedules on a real Temporal. None comes due while this runs: what they start is triggered. */

const LONG = 120_000;
const never = '0 0 1 1 *';
let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start({
    storage: 'files',
    nodes: ['n1', 'n2'],
    lock: { ttl: '12s', refresh: '1s', heartbeat: '5s', throttle: '500ms' },
    more: {
      schedules: {
        nightly: {
          operation: 'backup',
          cron: never,
          timeZone: 'Europe/Berlin',
          jitter: '5m',
          label: 'by night',
          waitForLock: '6s',
        },
        tidy: { operation: 'cleanup', every: '365d' },
      },
      backup: { alertAfter: '1d' },
    },
  });
  for (const [place, node] of cluster.nodes.entries()) makeSampleTree(cluster.root(node), { seed: place, files: 20 });
}, LONG);
afterAll(() => cluster?.stop(), LONG);

const listed = async (): Promise<ScheduleStatus[]> =>
  (await cluster.does('schedules', 'list')).schedules as ScheduleStatus[];

function configure(change: (config: { schedules: Record<string, object> }) => void): void {
  const config = JSON.parse(readFileSync(cluster.configFile, 'utf8'));
  change(config);
  writeFileSync(cluster.configFile, JSON.stringify(config));
}

test(
  "the coordinator's start makes them, with the times of their zone, and without any backup the status is an alarm",
  async () => {
    const [nightly, tidy, ...more] = await listed();
    expect(more).toEqual([]);
    expect(tidy).toMatchObject({ name: 'tidy', operation: 'cleanup', when: 'every 365 d', last: null, missed: 0 });
    expect(nightly).toMatchObject({ name: 'nightly', operation: 'backup', paused: false, last: null, running: [] });
    expect(nightly!.when).toBe(`${never} (Europe/Berlin), up to 5 min later`);
    // Midnight in Berlin, and the jitter.
    expect(nightly!.next).toMatch(/-12-31T23:0[0-5]:/);
    const description = await cluster.client.schedule.getHandle('homarus-east-nightly').describe();
    expect(description.policies).toMatchObject({
      overlap: 'SKIP',
      catchupWindow: 6 * 3_600_000,
      pauseOnFailure: false,
    });

    const { exit, json } = await cluster.homarus('status');
    expect(exit).toBe(28);
    expect(json).toMatchObject({
      error: { code: 'BackupOverdue', message: expect.stringContaining('of the last 1 d') },
      result: { overdue: true, schedules: [{ name: 'nightly' }, { name: 'tidy' }] },
    });
  },
  LONG,
);

test(
  'one that is triggered backs up, and its operation is found by its search attributes',
  async () => {
    const { operation } = await cluster.does('schedules', 'trigger', 'nightly');
    expect(operation).toMatch(/^backup-east-nightly-\d{4}-/);
    const ended = await cluster.end(operation as string);
    expect(ended).toMatchObject({ state: 'succeeded', by: 'schedule nightly' });
    const { backups } = (await cluster.does('list')) as { backups: { name: string; label: string }[] };
    expect(backups).toMatchObject([{ label: 'by night' }]);
    expect(await cluster.does('status')).toMatchObject({ overdue: false });
    const [nightly] = await listed();
    expect(nightly!.last).toMatchObject({ operation, state: 'succeeded' });
    const { typedSearchAttributes } = await cluster.client.workflow.getHandle(operation as string).describe();
    const found = Object.fromEntries(typedSearchAttributes.getAll().map(({ key, value }) => [key.name, value]));
    expect(found).toMatchObject({
      HomarusCluster: 'east',
      HomarusOperation: 'backup',
      HomarusResult: 'succeeded',
      HomarusBackup: backups[0]!.name,
    });
  },
  LONG,
);

test(
  'a drill proves the newest backup on the nodes or on one, leaves nothing behind, and is shown with the backup',
  async () => {
    const scratch = join(cluster.directory, 'state', 'drill');
    const [{ name }] = (await cluster.does('list')).backups as [{ name: string }];
    const result = await cluster.does('drill');
    expect(result).toMatchObject({ backup: name, percent: 100, checked: false, pairs: [{ to: 'n1' }, { to: 'n2' }] });
    expect(result.fetchedBytes).toBeGreaterThan(0);
    expect(result.expectedMs).toBe(result.tookMs);
    expect(readdirSync(scratch)).toEqual([]);
    const [listed] = (await cluster.does('list')).backups as [{ drill: object }];
    expect(listed).toMatchObject({
      drill: { ok: true, operation: result.operation, by: 'tester', tookMs: result.tookMs },
    });
    expect(await cluster.does('restore', '--dry-run')).toMatchObject({ fetchBytes: 0, expectedMs: 0 });

    const onOne = await cluster.does('drill', '--node', 'n2', '--percent', '50%');
    expect(onOne).toMatchObject({
      percent: 50,
      pairs: [
        { from: 'n1', to: 'n2' },
        { from: 'n2', to: 'n2' },
      ],
    });
    expect(onOne.files).toBeLessThan(result.files as number);
    expect(readdirSync(scratch)).toEqual([]);
    expect(await cluster.locked()).toEqual({});
  },
  LONG,
);

test(
  'a drill that is cancelled leaves neither scratch nor lock',
  async () => {
    // A stopped node keeps the drill from ending before the cancellation comes.
    cluster.process('n2').kill('SIGSTOP');
    const id = await cluster.begins('drill', '--wait-for-lock', '1m');
    await cluster.until(id, ({ progress }) => progress?.phase === 'locking');
    await cluster.does('cancel', id, '--no-wait');
    cluster.process('n2').kill('SIGCONT');
    expect(await cluster.end(id)).toMatchObject({ state: 'cancelled' });
    expect(await cluster.locked()).toEqual({});
    expect(readdirSync(join(cluster.directory, 'state', 'drill'))).toEqual([]);
  },
  LONG,
);

test(
  'one that finds the cluster locked waits, and ends as skipped, saying who held it',
  async () => {
    const held = await cluster.does('lock', '--for', '1h');
    const { operation } = await cluster.does('schedules', 'trigger', 'nightly');
    expect(await cluster.end(operation as string)).toMatchObject({
      state: 'succeeded',
      result: { skipped: expect.stringContaining(`locked by lock ${held.operation}`) },
    });
    await cluster.does('unlock');
    const nightly = (await listed()).find(({ name }) => name === 'nightly');
    expect(nightly!.last).toMatchObject({ operation, state: 'skipped' });
  },
  LONG,
);

test(
  'a change of the configuration is applied, what it has no more is removed, and who paused keeps it paused',
  async () => {
    await cluster.does('schedules', 'pause', 'nightly', '--note', 'the storage moves');
    configure((config) => {
      config.schedules.nightly = { ...config.schedules.nightly, label: 'later' };
      config.schedules.check = { operation: 'verify', every: '365d', readData: '10%' };
      delete config.schedules.tidy;
    });
    const changes = [
      { name: 'nightly', change: 'changed' },
      { name: 'check', change: 'created' },
      { name: 'tidy', change: 'removed' },
    ];
    expect(await cluster.does('schedules', 'apply', '--dry-run')).toMatchObject({ dryRun: true, changes });
    expect((await listed()).map(({ name }) => name)).toEqual(['nightly', 'tidy']);
    expect(await cluster.does('schedules', 'apply')).toMatchObject({ changes });
    const [check, nightly, ...more] = await listed();
    expect(more).toEqual([]);
    expect(check).toMatchObject({ name: 'check', paused: false });
    expect(nightly).toMatchObject({ paused: true, note: 'paused by tester: the storage moves', next: null });
    expect(await cluster.does('schedules', 'apply')).toMatchObject({
      changes: [{ change: 'unchanged' }, { change: 'unchanged' }],
    });
    await cluster.does('schedules', 'resume', 'nightly');
    expect((await listed()).find(({ name }) => name === 'nightly')).toMatchObject({ paused: false });

    const unknown = await cluster.homarus('schedules', 'pause', 'tidy');
    expect(unknown.json.error).toMatchObject({
      code: 'ScheduleNotFound',
      message: expect.stringMatching(/^there is no schedule tidy of cluster east; /),
    });
  },
  LONG,
);
