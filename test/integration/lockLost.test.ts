import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readdirSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { differences, fingerprint, makeSampleTree } from '../../src/cli/sampleTree.ts';
import { startOperation } from '../../src/client/operations.ts';
import type { OperationStatus } from '../../src/client/progress.ts';
import type { ReportLine } from '../../src/storage/verify.ts';
import { TestCluster } from '../support/cluster.ts';
import { record } from '../support/workflows.ts';

/**
 * How operations end, one after another: each way of ending leaves an unlocked cluster. With HOMARUS_RECORD=1 their histories
 * become those that `test/workflows/replay.test.ts` replays.
 */

const LONG = 120_000;
let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start({
    storage: 's3',
    lock: { ttl: '8s', refresh: '1s', heartbeat: '4s', throttle: '500ms' },
    more: { attempts: { backup: 2 } },
  });
  for (const [place, node] of cluster.nodes.entries()) makeSampleTree(cluster.root(node), { seed: place, files: 50 });
}, LONG);
afterAll(() => cluster?.stop(), LONG);

const holder = async (): Promise<unknown> => ((await cluster.does('status')).lock as { holder: unknown }).holder;
const inSnapshot = ({ progress }: OperationStatus): boolean => progress?.phase === 'snapshot';

/** Ends when the operation has; the cluster must be free then. */
async function ending(id: string, name: string): Promise<OperationStatus> {
  const ended = await cluster.end(id);
  await record(cluster, id, name);
  return ended;
}

/** What takes a node some time, so that the test comes in between. */
const give = (node: string): void => writeFileSync(join(cluster.root(node), 'new'), randomBytes(20_000_000));

test(
  'a backup, a verify, a restore, a cleanup and a lock succeed',
  async () => {
    expect(await ending(await cluster.begins('backup'), 'backup-succeeded')).toMatchObject({ state: 'succeeded' });
    expect(await ending(await cluster.begins('backup'), 'backup-unchanged')).toMatchObject({ state: 'succeeded' });
    const verify = await cluster.begins('verify', '--read-data');
    expect(await ending(verify, 'verify-succeeded')).toMatchObject({
      state: 'succeeded',
      result: { backups: 2, damaged: 0, report: null },
    });
    rmSync(join(cluster.root('n2'), 'data'), { recursive: true });
    const restore = await cluster.begins('restore', 'latest', '--yes');
    expect(await ending(restore, 'restore-succeeded')).toMatchObject({ state: 'succeeded' });
    const preview = await startOperation(cluster.client, 'east', 'preview', { backup: 'latest' });
    expect(await ending(preview.workflowId, 'preview-succeeded')).toMatchObject({
      state: 'succeeded',
      result: { fits: true },
    });
    const estimate = await startOperation(cluster.client, 'east', 'estimate', {});
    expect(await ending(estimate.workflowId, 'estimate-succeeded')).toMatchObject({
      state: 'succeeded',
      result: { added: { files: 0 }, missing: [] },
    });
    const drill = await cluster.begins('drill');
    expect(await ending(drill, 'drill-succeeded')).toMatchObject({ state: 'succeeded', result: { percent: 100 } });
    const cleanup = await cluster.begins('cleanup', '--keep-last', '1', '--yes');
    expect(await ending(cleanup, 'cleanup-succeeded')).toMatchObject({ state: 'succeeded' });
    const { operation } = await cluster.does('lock', '--for', '1h');
    const refused = await ending(await cluster.begins('backup'), 'backup-refused');
    expect(refused).toMatchObject({ state: 'failed', error: { code: 'LockHeld' } });
    await cluster.does('unlock');
    expect(await ending(String(operation), 'lock-unlocked')).toMatchObject({ result: { ended: 'unlocked' } });
  },
  LONG,
);

test(
  'a lost pack is named with what it costs, counts as absent from then on, and is healed by the next backup',
  async () => {
    await cluster.does('backup');
    const stored = join(cluster.directory, 's3', 'backups', 'east', 'packs');
    const packs = readdirSync(stored, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('/'));
    const [lost] = packs as [string];
    rmSync(join(stored, lost));

    const { exit, json } = await cluster.homarus('verify');
    expect(exit).toBe(15);
    expect(json.error).toMatchObject({ code: 'DamageFound', message: expect.stringContaining(`packs/${lost}`) });
    const { operation, report, notedIn } = json.result as { operation: string; report: ReportLine[]; notedIn: number };
    expect(notedIn).toBeGreaterThan(0);
    expect(report).toContainEqual(expect.objectContaining({ type: 'damage', key: `packs/${lost}` }));
    expect(report).toContainEqual(expect.objectContaining({ type: 'loss', node: expect.stringMatching(/^n[123]$/) }));
    expect(await ending(operation, 'verify-damaged')).toMatchObject({ state: 'failed', result: { damaged: 1 } });
    expect(await holder()).toBeNull();
    const followed = await cluster.homarus('follow', operation);
    expect(followed).toMatchObject({ exit: 15, json: { result: { damaged: 1 } } });

    await cluster.does('backup');
    await cluster.does('cleanup', '--keep-last', '1', '--yes');
    // A node that is down leaves its share to the others.
    await cluster.kill('n1');
    const healed = await cluster.homarus('verify', '--read-data', '50%');
    await cluster.launch('n1');
    expect(healed).toMatchObject({ exit: 0, json: { result: { damaged: 0, backups: 1 } } });
    const before = cluster.nodes.map((node) => fingerprint(cluster.root(node)));
    for (const node of cluster.nodes) rmSync(join(cluster.root(node), 'data'), { recursive: true });
    await cluster.does('restore', '--yes');
    expect(before.flatMap((print, n) => differences(print, fingerprint(cluster.root(`n${n + 1}`))))).toEqual([]);
  },
  LONG,
);

test(
  'a storage that does not answer costs a backup its lock, with the reason, and the next one succeeds',
  async () => {
    give('n1');
    const id = await cluster.begins('backup');
    await cluster.until(id, inSnapshot);
    cluster.s3.kill('SIGSTOP');
    const ended = await ending(id, 'backup-lock-lost');
    cluster.s3.kill('SIGCONT');
    expect(ended).toMatchObject({ state: 'failed', error: { code: 'LockLost' } });
    expect(ended.error?.message).toMatch(
      /lock of cluster east was lost at the storage: .*could not be refreshed for 8 s/,
    );
    await cluster.does('backup', '--wait-for-lock', '1m');
    expect(await holder()).toBeNull();
  },
  LONG,
);

test(
  'a node that is killed and does not come back costs a backup its lock, and is named',
  async () => {
    give('n3');
    const id = await cluster.begins('backup');
    await cluster.until(id, inSnapshot);
    await cluster.kill('n3');
    const ended = await ending(id, 'backup-node-lost');
    expect(ended.error).toMatchObject({ code: 'LockLost', message: expect.stringContaining('node n3') });
    expect(await holder()).toBeNull();
    await cluster.launch('n3');
    await cluster.does('backup');
  },
  LONG,
);

test(
  'a file that is rewritten while it is backed up costs an attempt, by name, and the next one succeeds',
  async () => {
    const busy = join(cluster.root('n2'), 'busy');
    writeFileSync(busy, randomBytes(4_000_000));
    const file = openSync(busy, 'r+');
    const writer = setInterval(() => writeSync(file, randomBytes(8), 0, 8, 1_000_000), 1);
    try {
      const id = await cluster.begins('backup');
      const second = await cluster.until(id, ({ progress }) => (progress?.attempt ?? 0) > 1);
      clearInterval(writer);
      expect(second.progress?.lastFailure).toMatch(/FileChanged: node n2, root data: .*busy.* was changed in place/);
      expect(await ending(id, 'backup-two-attempts')).toMatchObject({ state: 'succeeded', result: { attempt: 2 } });
    } finally {
      clearInterval(writer);
      closeSync(file);
    }
  },
  LONG,
);

test(
  'a cancelled backup ends as cancelled; one whose root is gone fails, naming it, and a restore makes the root again',
  async () => {
    give('n2');
    const cancelled = await cluster.begins('backup');
    await cluster.until(cancelled, inSnapshot);
    cluster.process('n2').kill('SIGSTOP');
    await cluster.does('cancel', cancelled, '--no-wait');
    cluster.process('n2').kill('SIGCONT');
    expect(await ending(cancelled, 'backup-cancelled')).toMatchObject({ state: 'cancelled' });

    rmSync(cluster.root('n1'), { recursive: true });
    const failed = await ending(await cluster.begins('backup'), 'backup-failed');
    expect(failed.error).toMatchObject({ code: 'FileUnreadable', message: expect.stringContaining('node n1') });
    expect(await holder()).toBeNull();

    const restored = await ending(await cluster.begins('restore', 'latest', '--yes'), 'restore-whole-root');
    expect(restored).toMatchObject({ state: 'succeeded' });
  },
  LONG,
);
