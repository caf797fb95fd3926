import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { differences, fingerprint } from '../../src/cli/sampleTree.ts';
import { startS3 } from '../../src/servers.ts';
import { createRepository } from '../../src/storage/create.ts';
import { S3Store } from '../../src/storage/s3Store.ts';
import { TestCluster } from '../support/cluster.ts';
import { canMount, SmallDisk } from '../support/smallDisk.ts';

/**
 * File systems that run full: the error says which, what is listed stays whole, and the next run after space was made
 * succeeds. Needs the right to mount a file system in memory (root, or CI).
 */

const MiB = 1024 * 1024;
const LONG = 180_000;
const onDisks = canMount() || process.env.CI === 'true' ? describe : describe.skip;

onDisks('of a cluster whose file systems are small', () => {
  let storage: SmallDisk;
  let data: SmallDisk;
  let state: SmallDisk;
  let cluster: TestCluster;
  const root = (): string => join(data.path, 'data');
  const fill = (name: string, bytes: number): void => writeFileSync(join(root(), name), randomBytes(bytes));
  const listed = async () => (await cluster.does('list')).backups as { name: string }[];
  const holder = async () => ((await cluster.does('status')).lock as { holder: unknown }).holder;
  const failed = async (...args: string[]) => {
    const { exit, json } = await cluster.homarus(...args);
    return { exit, ...json.error };
  };

  beforeAll(async () => {
    storage = new SmallDisk(24 * MiB);
    data = new SmallDisk(24 * MiB, 400);
    state = new SmallDisk(4 * MiB);
    mkdirSync(root());
    cluster = await TestCluster.start({
      storage: 'files',
      nodes: ['n1'],
      lock: { ttl: '6s', refresh: '1s', heartbeat: '3s', throttle: '500ms' },
      more: {
        storages: { main: { type: 'files', path: join(storage.path, 'backups') } },
        nodes: [{ id: 'n1', root: root() }],
        dataDir: join(state.path, 'state'),
      },
    });
    fill('large', 3 * MiB);
    for (let number = 0; number < 40; number++) fill(`small-${number}`, 20_000);
    await cluster.does('backup');
  }, LONG);
  afterAll(async () => {
    await cluster?.stop();
    for (const disk of [storage, data, state]) disk?.unmount();
  }, LONG);

  test(
    'a full storage fails a backup by name, and harms nothing that is listed',
    async () => {
      const before = await listed();
      fill('more', 4 * MiB);
      for (const left of [MiB, 0]) {
        const giveBack = storage.fill(left);
        expect(await failed('backup')).toMatchObject({
          exit: 18,
          code: 'StoreFull',
          message: expect.stringMatching(new RegExp(`^storage ${storage.path}/backups: writing \\S+ failed: ENOSPC`)),
        });
        expect(await listed()).toEqual(before);
        giveBack();
        if (left > 0) expect(await holder()).toBeNull();
      }
      await cluster.does('backup');
      expect(await listed()).toHaveLength(before.length + 1);
      const to = join(cluster.directory, 'extracted');
      await cluster.does('extract', 'latest', '--node', 'n1', '--to', to);
      expect(differences(fingerprint(root()), fingerprint(to)).filter((path) => path !== '')).toEqual([]);
    },
    LONG,
  );

  test(
    'a restore into a full root says so before it changes anything, and when it comes between',
    async () => {
      const before = fingerprint(root());
      const lost = () => differences(before, fingerprint(root())).filter((path) => path !== '');
      rmSync(join(root(), 'more'));
      writeFileSync(join(root(), 'stray'), 'stays while nothing is changed');
      const giveBack = data.fill(MiB);
      expect(await failed('restore', 'latest', '--yes')).toMatchObject({
        exit: 18,
        code: 'NoSpace',
        message: expect.stringMatching(
          new RegExp(`^the file system of ${root()} is too small: 4.0 MiB .* to be written.*; nothing was changed$`),
        ),
      });
      expect(lost()).toEqual(['more', 'stray']);
      giveBack();

      // Bytes enough, but no place for so many files: known only when it happens.
      for (const name of readdirSync(root())) if (/^small/.test(name)) rmSync(join(root(), name));
      const giveUp = data.fillPlaces(15);
      expect(await failed('restore', 'latest', '--yes')).toMatchObject({
        exit: 18,
        code: 'NoSpace',
        message: expect.stringMatching(new RegExp(`^the file system of ${data.path}\\S* is full`)),
      });
      // What came is whole, what did not is missing, what was there stays.
      for (const path of lost()) expect(path).toMatch(/^(small-\d+|more)$/);
      expect(await holder()).toBeNull();
      giveUp();
      await cluster.does('restore', 'latest', '--yes');
      expect(lost()).toEqual([]);
    },
    LONG,
  );

  test(
    'a full state directory is named, by the lock, by a snapshot and at the start',
    async () => {
      const before = await listed();
      const room = `^the file system of ${state.path}/state\\S* is full`;
      for (const left of [0, 16_384]) {
        const giveBack = state.fill(left);
        expect(await failed('backup')).toMatchObject({
          exit: 18,
          code: 'NoSpace',
          message: expect.stringMatching(new RegExp(room)),
        });
        expect(await listed()).toEqual(before);
        giveBack();
        // Who could not write that he let go is waited for.
        await cluster.does('backup', '--wait-for-lock', '30s');
        before.unshift((await listed())[0]!);
      }
      await cluster.kill('n1');
      const giveBack = state.fill();
      await expect(cluster.launch('n1')).rejects.toThrow(/ended with code 18:\n.*is full/);
      giveBack();
      await cluster.launch('n1');
      await cluster.does('backup', '--wait-for-lock', '30s');
    },
    LONG,
  );
});

onDisks('an S3 server', () => {
  test(
    'that has no space left is named as full, and takes writes again when it has',
    async () => {
      const disk = new SmallDisk(8 * MiB);
      const logs = mkdtempSync(join(tmpdir(), 'homarus-s3-'));
      const server = await startS3({ dir: disk.path, logFile: join(logs, 's3.log'), report: () => undefined });
      try {
        const { endpoint, region, accessKeyId, secretAccessKey } = server;
        const client = { endpoint, region, credentials: { accessKeyId, secretAccessKey }, forcePathStyle: true };
        await new S3Client(client).send(new CreateBucketCommand({ Bucket: 'backups' }));
        const times = { retryFor: 5_000, stall: 5_000, connect: 1_000, agent: new Agent({ maxSockets: 4 }) };
        const store = new S3Store({ bucket: 'backups', prefix: 'p', client, ...times });
        await createRepository(store, { cluster: 'east' });
        const giveBack = disk.fill(MiB);
        await expect(store.create('packs/a', randomBytes(4 * MiB))).rejects.toMatchObject({
          code: 'StoreFull',
          message: expect.stringMatching(/^storage s3:\/\/backups\/p: PUT packs\/a failed: /),
        });
        expect(await store.read('packs/a')).toBeUndefined();
        giveBack();
        expect(await store.create('packs/a', randomBytes(4 * MiB))).toBe('created');
        await store.close();
      } finally {
        await server.stop();
        disk.unmount();
        rmSync(logs, { recursive: true });
      }
    },
    LONG,
  );
});
