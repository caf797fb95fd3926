import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Etcd3 } from 'etcd3';
import { activities } from '../../src/plugins/etcd/activities.ts';
import type { EtcdData } from '../../src/plugins/etcd/flow.ts';
import { MARKER } from '../../src/plugins/etcd/restoreKeys.ts';
import { EtcdCluster } from '../support/etcd.ts';
import { etcdContext, StreamsInMemory } from '../support/etcdContext.ts';

/** The plugin's activities on a real cluster of three members, some of which are killed meanwhile. */

const LONG = 300_000;
const KEYS = process.env.HOMARUS_LONG ? 200_000 : 20_000;
const FIRST = Buffer.from([0]);
let cluster: EtcdCluster;
let client: Etcd3;

beforeAll(async () => {
  cluster = await EtcdCluster.start(3);
  client = cluster.client;
}, LONG);
afterAll(() => cluster?.stop(), LONG);

/** All of it, by hex of key; the whole range at once, unlike what is tested. */
async function content(): Promise<Map<string, string>> {
  const all = new Map<string, string>();
  for (let from: Buffer = FIRST; ; ) {
    const { kvs, more } = await client.kv.range({ key: from, range_end: FIRST, limit: 400 });
    for (const { key, value } of kvs) all.set(key.toString('hex'), value.toString('hex'));
    const last = kvs.at(-1);
    if (!more || !last) return all;
    from = Buffer.concat([last.key, FIRST]);
  }
}

async function wipe(): Promise<void> {
  await client.kv.deleteRange({ key: FIRST, range_end: FIRST });
}

async function fill(count: number, prefix = 'many/'): Promise<void> {
  for (let from = 0; from < count; from += 120) {
    const success = Array.from({ length: Math.min(120, count - from) }, (_, place) => ({
      request_put: { key: Buffer.from(`${prefix}${String(from + place).padStart(8, '0')}`), value: randomBytes(100) },
    }));
    await client.kv.txn({ compare: [], success, failure: [] });
  }
}

const revision = async (): Promise<string> => (await client.kv.range({ key: FIRST })).header.revision;
const put = (key: string | Buffer, value: string | Buffer = 'x', lease = '0') =>
  client.kv.put({ key: Buffer.from(key), value: Buffer.from(value), lease });
const contextFor = (streams: StreamsInMemory, options: object = {}, operation = 'operation-1') =>
  etcdContext({ ...cluster.access, ...options }, streams, operation);
const dump = (streams: StreamsInMemory, options: object = {}): Promise<EtcdData> =>
  activities.dump(undefined, contextFor(streams, options));
const restore = (streams: StreamsInMemory, data: EtcdData, options: { dryRun?: boolean; operation?: string } = {}) =>
  activities.restore({ data, dryRun: options.dryRun ?? false }, contextFor(streams, {}, options.operation));

test(
  'binary keys and values, empty ones, large ones and an empty prefix come back as they were; again, nothing is written',
  async () => {
    await wipe();
    await put(Buffer.from([0xff, 0xff, 0]), randomBytes(50));
    await put(Buffer.from([0]), Buffer.alloc(0));
    await put(Buffer.from([1, 0]), '');
    for (let number = 0; number < 12; number++) await put(`large/${number}`, randomBytes(1_000_000));
    await fill(1_000);
    const before = await content();
    const streams = new StreamsInMemory();
    const data = await dump(streams, { prefixes: ['', 'nothing/there'] });
    expect(data).toMatchObject({ keys: before.size, leased: 0, server: '3.6.4', member: null });

    await put('large/3', 'changed');
    await put('extra', 'key');
    await client.kv.deleteRange({ key: Buffer.from('many/00000500'), range_end: Buffer.from('many/00000600') });
    expect(await restore(streams, data, { dryRun: true })).toMatchObject({
      put: 101,
      deleted: 1,
      same: before.size - 101,
    });
    expect((await content()).has(Buffer.from('extra').toString('hex'))).toBe(true);
    const done = await restore(streams, data);
    expect(done).toMatchObject({ put: 101, deleted: 1 });
    expect(done.named).toContain('delete extra');
    expect(await content()).toEqual(before);

    const at = await revision();
    expect(await restore(streams, data)).toMatchObject({ put: 0, deleted: 0, same: before.size, named: [] });
    expect(await revision()).toBe(at);
    await wipe();
    expect(await restore(streams, data)).toMatchObject({ put: before.size });
    expect(await content()).toEqual(before);
  },
  LONG,
);

test(
  'only the prefixes are stored and restored, an empty one is emptied, and what lies beside them is left alone',
  async () => {
    await wipe();
    await Promise.all([put('a/1'), put('b/1'), put('c/1')]);
    const streams = new StreamsInMemory();
    const data = await dump(streams, { prefixes: ['a/', { base64: Buffer.from('c/').toString('base64') }, 'none/'] });
    expect(data.keys).toBe(2);
    await Promise.all([put('a/2'), put('b/2'), put('none/1'), put('c/1', 'y')]);
    expect(await restore(streams, data)).toMatchObject({ put: 1, deleted: 2, same: 1 });
    const keys = [...(await content()).keys()].map((key) => Buffer.from(key, 'hex').toString());
    expect(keys).toEqual(['a/1', 'b/1', 'b/2', 'c/1']);
  },
  LONG,
);

test(
  'keys that hang on a lease are left out and left alone, or kept and restored without it',
  async () => {
    await wipe();
    const { ID } = await client.leaseClient.leaseGrant({ TTL: 600 });
    await put('plain');
    await put('leased', 'x', ID);
    const [left, kept] = [new StreamsInMemory(), new StreamsInMemory()];
    const leaving = await dump(left, { leases: 'skip' });
    expect(leaving).toMatchObject({ keys: 1, leased: 1 });
    const keeping = await dump(kept, { leases: 'keep' });
    expect(keeping).toMatchObject({ keys: 2, leased: 1 });
    expect(await restore(left, leaving)).toMatchObject({ put: 0, deleted: 0 });
    expect(await restore(kept, keeping)).toMatchObject({ put: 1, deleted: 0 });
    await client.leaseClient.leaseRevoke({ ID });
    expect((await content()).size).toBe(2);
  },
  LONG,
);

describe('with many keys', () => {
  let streams: StreamsInMemory;
  let data: EtcdData;
  let before: Map<string, string>;

  beforeAll(async () => {
    await wipe();
    await fill(KEYS);
    before = await content();
    streams = new StreamsInMemory();
  }, LONG);

  test(
    'all are of one revision while a writer never stops, and the leader is killed meanwhile',
    async () => {
      const leader = await cluster.leader();
      let stop = false;
      let written = 0;
      const writer = (async () => {
        // First one end, then the other: a mixture of two revisions would have the second without the first.
        for (let round = 1; !stop; round++) {
          await put('many/00000000', String(round)).catch(() => undefined);
          await put(`many/${String(KEYS - 1).padStart(8, '0')}`, String(round)).catch(() => undefined);
          written = round;
        }
      })();
      streams.onWrite = async (chunks) => {
        if (chunks === 1) await cluster.kill(leader);
      };
      data = await dump(streams);
      stop = true;
      await writer;
      await cluster.startAgain(leader);
      expect(written).toBeGreaterThan(1);
      expect(data.keys).toBe(KEYS);
      const dumped = await streams.keys('etcd-keys');
      const [first, last] = [dumped[0]!, dumped.at(-1)!].map(({ value }) => Number(value.toString()) || 0);
      expect(first! - last!).toBeGreaterThanOrEqual(0);
      expect(first! - last!).toBeLessThanOrEqual(1);
      // The rest did not change.
      expect(dumped.slice(1, -1).map(({ value }) => value.toString('hex'))).toEqual([...before.values()].slice(1, -1));
    },
    LONG,
  );

  test(
    'a restore that is stopped leaves its marker, and goes on to the same end while the leader is killed',
    async () => {
      await wipe();
      await fill(50, 'zzz/');
      const stopping = new AbortController();
      streams.onRead = (chunks) => {
        if (chunks === 2) stopping.abort(new Error('stopped here'));
      };
      const context = etcdContext(cluster.access, streams, 'operation-1', stopping.signal);
      await expect(activities.restore({ data, dryRun: false }, context)).rejects.toThrow('stopped here');
      const [marker] = (await client.kv.range({ key: MARKER })).kvs;
      expect(marker?.value.toString()).toBe('operation-1');
      await expect(dump(new StreamsInMemory())).rejects.toThrow(
        'restore operation-1 of this etcd did not come to its end',
      );

      const leader = await cluster.leader();
      streams.onRead = async (chunks) => {
        if (chunks === 2) await cluster.kill(leader);
      };
      const done = await restore(streams, data, { operation: 'operation-2' });
      streams.onRead = () => undefined;
      await cluster.startAgain(leader);
      expect(done.put).toBeGreaterThan(0);
      expect(done.deleted).toBe(50);
      const after = await content();
      const wanted = await streams.keys('etcd-keys');
      expect([...after]).toEqual(wanted.map(({ key, value }) => [key.toString('hex'), value.toString('hex')]));
    },
    LONG,
  );

  test(
    'a compaction between pages is an error that another attempt mends',
    async () => {
      const compacted = new StreamsInMemory();
      compacted.onWrite = async (chunks) => {
        if (chunks !== 1) return;
        await put('many/00000001', 'newer');
        await client.kv.compact({ revision: await revision(), physical: true });
      };
      await expect(dump(compacted)).rejects.toMatchObject({ code: 'EtcdCompacted' });
      expect(await dump(new StreamsInMemory())).toMatchObject({ keys: KEYS });
    },
    LONG,
  );
});

test(
  'who writes during a restore is found out by the check at its end',
  async () => {
    await wipe();
    await fill(1_000);
    const streams = new StreamsInMemory();
    const data = await dump(streams);
    await put('many/00000900', 'changed');
    let asked = 0;
    streams.onRead = async () => {
      // Behind what was read of the cluster so far, before the check reads it all again.
      if (++asked === 1) await put('many/00000001', 'by another one');
    };
    await expect(restore(streams, data)).rejects.toMatchObject({
      code: 'EtcdDiffers',
      message: expect.stringContaining('many/00000001'),
    });
    expect((await client.kv.range({ key: MARKER })).count).toBe('1');
    streams.onRead = () => undefined;
    expect(await restore(streams, data)).toMatchObject({ put: 1 });
    expect((await client.kv.range({ key: MARKER })).count).toBe('0');
  },
  LONG,
);

test(
  'with no member up the error names the endpoints; a value above the limit of the server is refused',
  async () => {
    const nobody = contextFor(new StreamsInMemory(), {
      endpoints: ['http://127.0.0.1:1'],
      timeouts: { request: 300, retryFor: 500 },
    });
    await expect(activities.dump(undefined, nobody)).rejects.toMatchObject({
      code: 'EtcdUnreachable',
      message: expect.stringContaining('http://127.0.0.1:1'),
    });
    const streams = new StreamsInMemory();
    await wipe();
    const data = await dump(streams);
    await streams.put('etcd-keys', [{ key: Buffer.from('k'), value: Buffer.alloc(3_000_000), lease: 0n }]);
    await expect(restore(streams, data)).rejects.toMatchObject({
      code: 'EtcdRefused',
      message: expect.stringMatching(/too large|larger than max/),
    });
    await wipe();
  },
  LONG,
);

test(
  'with authentication on, a user with a role for the prefix and the marker is enough; a wrong password is refused',
  async () => {
    await wipe();
    await put('app/1');
    await cluster.requirePasswords('homarus', 'secret-of-etcd', ['app/', 'homarus/']);
    process.env.TEST_ETCD_PASSWORD = 'secret-of-etcd';
    const access = { user: 'homarus', passwordEnv: 'TEST_ETCD_PASSWORD', prefixes: ['app/'] };
    const streams = new StreamsInMemory();
    const data = await dump(streams, access);
    expect(data.keys).toBe(1);
    const asUser = contextFor(streams, access);
    expect(await activities.restore({ data, dryRun: false }, asUser)).toMatchObject({ same: 1 });
    await expect(dump(new StreamsInMemory(), { ...access, prefixes: [''] })).rejects.toMatchObject({
      code: 'EtcdRefused',
      message: expect.stringContaining('permission denied'),
    });
    process.env.TEST_ETCD_PASSWORD = 'wrong';
    await expect(dump(new StreamsInMemory(), access)).rejects.toMatchObject({ code: 'EtcdRefused' });
    process.env.TEST_ETCD_PASSWORD = '';
    await expect(dump(new StreamsInMemory(), access)).rejects.toMatchObject({ code: 'ConfigInvalid' });
  },
  LONG,
);

test(
  'over TLS both sides show their certificates, and the password may stand in a file; without one of them there is no way in',
  async () => {
    const secured = await EtcdCluster.start(1, { tls: true });
    try {
      await secured.client.put('app/1').value('x').exec();
      await secured.requirePasswords('homarus', 'secret-of-etcd', ['app/', 'homarus/']);
      const passwordFile = join(secured.directory, 'password');
      writeFileSync(passwordFile, 'secret-of-etcd\n');
      const access = { ...secured.access, user: 'homarus', passwordFile, prefixes: ['app/'] };
      const streams = new StreamsInMemory();
      const data = await dump(streams, access);
      expect(data).toMatchObject({ keys: 1 });
      await secured.client.put('app/1').value('y').exec();
      const asUser = contextFor(streams, access);
      expect(await activities.restore({ data, dryRun: false }, asUser)).toMatchObject({ put: 1 });
      expect(await secured.client.get('app/1').string()).toBe('x');

      const { caFile, certFile, keyFile } = secured.certificate;
      const timeouts = { request: 1_000, retryFor: 1_000 };
      for (const tls of [{ caFile }, { certFile, keyFile }, undefined]) {
        const dumping = dump(new StreamsInMemory(), { ...access, timeouts, tls });
        await expect(dumping).rejects.toMatchObject({
          code: 'EtcdUnreachable',
          message: expect.stringContaining(secured.endpoints[0] as string),
        });
      }
      const missing = dump(new StreamsInMemory(), { ...access, tls: { caFile: '/nowhere/ca.pem' } });
      await expect(missing).rejects.toMatchObject({
        code: 'ConfigInvalid',
        message: expect.stringContaining('/nowhere/ca.pem'),
      });
    } finally {
      await secured.stop();
    }
  },
  LONG,
);
