import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import type { OperationStatus } from '../../src/client/progress.ts';
import { loadConfig } from '../../src/config.ts';
import { keys } from '../../src/domain/documents.ts';
import { hasCode } from '../../src/domain/errors.ts';
import { acquireLock, releaseLock } from '../../src/storage/lock.ts';
import { openRepository } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import { TestCluster } from './cluster.ts';
import { puts } from './faults.ts';
import { azOf, PluginTrial, type Stop } from './pluginTrial.ts';
import { record, workflowsOf } from './workflows.ts';

/**
 * What every plugin must keep, on a cluster of real processes and, stop by stop, in this process: a test file calls
 * `pluginContract` with what it needs to know of the plugin.
 */

/** Where a plugin works: a cluster of processes, or directories alone. */
export interface Room {
  readonly directory: string;
  readonly nodes: readonly string[];
  root(node: string): string;
}

export interface PluginGiven {
  /** Once before all: servers. */
  start?(): Promise<void>;
  stop?(): Promise<void>;
  /** As in the configuration file. */
  plugin(room: Room): { name: string; package?: string; options?: object };
  /** A variable in the environment of all processes, which the plugin uses. */
  secret: { name: string; value: string };
  /** Makes the data of this round: other ones in each, none of a former round is left. */
  write(room: Room, round: number): unknown;
  /** All that a restore must bring back, to be compared. */
  state(room: Room): unknown;
  /** What must be undone on a node: nothing but while its snapshot is taken. */
  left(room: Room, node: string): string[];
  /** Whether it has such a thing. */
  leaves: boolean;
  /** Whether its flow has a check. */
  checks: boolean;
  /** How often its activities touch their context is to be at least; so many stops are tried, each in two ways, in backup and restore. */
  stops: number;
}

const PATIENCE = 240_000;
/** Processes are killed and start again while it is held. */
const LOCK = { ttl: '60s', refresh: '1s', heartbeat: '6s', throttle: '500ms' };

export function pluginContract(title: string, given: PluginGiven): void {
  describe(title, () => {
    if (given.start) beforeAll(() => given.start?.(), PATIENCE);
    if (given.stop) afterAll(() => given.stop?.(), PATIENCE);
    describe('on real processes', () => inOperations(given));
    describe('activity by activity', () => whereverItStops(given));
  });
}

function inOperations(given: PluginGiven): void {
  let cluster: TestCluster;
  /** Ids of all operations. */
  const seen: string[] = [];
  const { secret } = given;

  beforeAll(async () => {
    cluster = await TestCluster.start({
      ...{ storage: 's3', breakable: true, nodes: ['n1', 'n2'], lock: LOCK },
      more: (room) => ({ attempts: { backup: 1 }, plugin: given.plugin(room) }),
      env: () => ({ [secret.name]: secret.value }),
    });
  }, PATIENCE);
  afterAll(() => cluster?.stop(), PATIENCE);

  const left = (): string[] => cluster.nodes.flatMap((node) => given.left(cluster, node));

  /** Whatever way it ended: its history replays, nothing is locked, and nothing is left on nodes. */
  async function ending(id: string, name: string): Promise<OperationStatus> {
    const ended = await cluster.end(id);
    seen.push(id);
    await replays(cluster, id, given.plugin(cluster), name);
    expect(await cluster.locked()).toEqual({});
    expect(left()).toEqual([]);
    return ended;
  }

  /** A backup that waits in the snapshot of n2, where it has what must be undone. */
  async function inSnapshot(round: number) {
    await given.write(cluster, round);
    const before = await given.state(cluster);
    const staged = cluster.front.hold(puts('n2', 'staging/'));
    const id = await cluster.begins('backup');
    await staged.met;
    if (given.leaves) expect(left()).not.toEqual([]);
    return { id, staged, before };
  }

  test(
    'a backup and a restore succeed, and what was there comes back',
    async () => {
      await given.write(cluster, 1);
      const before = await given.state(cluster);
      expect(await ending(await cluster.begins('backup'), 'backup-succeeded')).toMatchObject({ state: 'succeeded' });
      await given.write(cluster, 2);
      expect(await given.state(cluster)).not.toEqual(before);
      const check = given.checks ? ['--check'] : [];
      const restore = await cluster.begins('restore', 'latest', '--yes', ...check);
      expect(await ending(restore, 'restore-succeeded')).toMatchObject({ state: 'succeeded', error: null });
      expect(await given.state(cluster)).toEqual(before);
      if (given.checks) return;
      const { json } = await cluster.homarus('restore', 'latest', '--yes', '--check');
      expect(json.error).toMatchObject({ code: 'BadInput', message: expect.stringContaining('has no check') });
    },
    PATIENCE,
  );

  test(
    'one that fails, one that is cancelled and one that loses its lock leave nothing on nodes',
    async () => {
      const failing = await inSnapshot(3);
      failing.staged.letGo(403);
      const failed = await ending(failing.id, 'backup-failed');
      expect(failed).toMatchObject({ state: 'failed', error: { code: 'StoreForbidden' } });

      const cancelling = await inSnapshot(4);
      await cluster.does('cancel', cancelling.id, '--no-wait');
      cancelling.staged.letGo();
      expect(await ending(cancelling.id, 'backup-cancelled')).toMatchObject({ state: 'cancelled' });

      const losing = await inSnapshot(5);
      await takeLock(cluster);
      const lost = await ending(losing.id, 'backup-lock-lost').finally(() => losing.staged.letGo());
      expect(lost).toMatchObject({ state: 'failed', error: { code: 'LockLost' } });
    },
    PATIENCE,
  );

  test(
    'a node and a coordinator that are killed meanwhile and come back go on to the same end',
    async () => {
      const { id, staged, before } = await inSnapshot(6);
      await Promise.all([cluster.kill('n2'), cluster.kill('coordinator')]);
      staged.lift();
      await Promise.all([cluster.launch('n2'), cluster.launch('coordinator')]);
      staged.letGo();
      expect(await ending(id, 'backup-killed')).toMatchObject({ state: 'succeeded', error: null });
      await given.write(cluster, 7);
      await cluster.does('restore', 'latest', '--yes');
      expect(await given.state(cluster)).toEqual(before);
    },
    PATIENCE,
  );

  test('nobody sees its secret: not Temporal, not the storage, not the logs, not the state on nodes', async () => {
    const { manifest } = (await cluster.does('show', 'latest')) as { manifest: object };
    expect(JSON.stringify(manifest)).not.toContain(secret.value);
    // The search finds what is there, such as the ids of operations.
    const known = seen.flatMap((id) => filesWith(cluster.directory, id)).join();
    for (const file of [/temporal[.]db/, /coordinator[.]\d+[.]log/]) expect(known).toMatch(file);
    expect(filesWith(cluster.directory, secret.value)).toEqual([]);
  });
}

/** All files below a directory that hold a text, or its base64, but for the data itself. */
function filesWith(directory: string, text: string): string[] {
  const base64 = [0, 1, 2].map((shift) =>
    Buffer.from('\0'.repeat(shift) + text)
      .toString('base64')
      .slice(shift === 0 ? 0 : 4, -4),
  );
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .filter((file) => {
      if (file.startsWith('nodes/')) return false;
      const content = readFileSync(join(directory, file));
      return [text, ...base64].some((form) => content.includes(form));
    });
}

/** Takes the storage's part of the lock, as if it had run out, and gives it back. */
async function takeLock(cluster: TestCluster): Promise<void> {
  const store = await cluster.openStore();
  try {
    const repository = await openRepository(store, { cluster: 'east' });
    const on = (key: string): string => join(cluster.directory, 's3', 'backups', 'east', key);
    for (;;) {
      const { root } = await presentRoot(repository);
      for (const key of [keys.lease(root.epoch), keys.root(root.number)]) {
        if (existsSync(on(key))) utimesSync(on(key), 0, 0);
      }
      const holder = { operation: 'another', run: 'another/1', kind: 'lock', by: 'tester', since: '', ttl: 0 } as const;
      try {
        const { epoch } = await acquireLock(repository, holder, { nonce: 'taken' });
        await releaseLock(repository, epoch, 'given back');
        return;
      } catch (error) {
        // It was refreshed in between.
        if (!hasCode(error, 'LockHeld')) throw error;
      }
    }
  } finally {
    await store.close();
  }
}

let quiet = false;

/** Now, and, with HOMARUS_RECORD=1, from then on in `test/workflows/replay.test.ts`. */
async function replays(
  cluster: TestCluster,
  id: string,
  { name, package: folder }: { name: string; package?: string },
  as: string,
): Promise<void> {
  if (!quiet) Runtime.install({ logger: new DefaultLogger('ERROR') });
  quiet = true;
  const history = await cluster.client.workflow.getHandle(id).fetchHistory();
  await Worker.runReplayHistory(await workflowsOf(name, folder), history);
  await record(cluster, id, `${name}/${as}`);
}

function whereverItStops(given: PluginGiven): void {
  const directory = mkdtempSync(join(tmpdir(), 'homarus-plugin-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const { secret } = given;
  afterEach(() => {
    delete process.env[secret.name];
  });

  let rooms = 0;
  async function trial(stop?: Stop): Promise<PluginTrial> {
    process.env[secret.name] = secret.value;
    const place = join(directory, String(++rooms));
    const nodes = ['n1', 'n2'];
    const room: Room = { directory: place, nodes, root: (node) => join(place, 'nodes', node) };
    for (const node of nodes) mkdirSync(room.root(node), { recursive: true });
    const configFile = join(place, 'homarus.json');
    const config = {
      cluster: 'east',
      storages: { main: { type: 'files', path: join(place, 'storage') } },
      nodes: nodes.map((id) => ({ id, az: azOf(room, id), root: room.root(id) })),
      plugin: given.plugin(room),
    };
    writeFileSync(configFile, JSON.stringify(config));
    await given.write(room, 1);
    const before = await given.state(room);
    const { plugin } = await loadConfig(configFile);
    const running = await PluginTrial.of(room, plugin, stop);
    running.onReleased = () => expect(nodes.flatMap((node) => given.left(room, node))).toEqual([]);
    await running.backup();
    expect(JSON.stringify(running.data)).not.toContain(secret.value);
    await given.write(room, 2);
    await running.restore();
    expect(await given.state(room)).toEqual(before);
    expect(running.said).not.toContain(secret.value);
    rmSync(place, { recursive: true });
    return running;
  }

  test(
    'its activities can be stopped wherever they touch what they are given, and run again, to the same end',
    async () => {
      const { touches } = await trial();
      expect(touches).toBeGreaterThanOrEqual(given.stops);
      for (let at = 1; at <= touches; at++) {
        for (const then of ['goes on', 'begins anew'] as const) {
          const { stopped } = await trial({ at, then });
          expect(stopped).toBe(true);
        }
      }
    },
    PATIENCE,
  );
}
