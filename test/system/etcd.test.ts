import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { afterAll, expect } from '@jest/globals';
import { activities } from '../../src/plugins/etcd/activities.ts';
import { EtcdCluster } from '../support/etcd.ts';
import { etcdContext, StreamsInMemory } from '../support/etcdContext.ts';
import { testNeeding } from '../support/needing.ts';

/** The plugin on the etcd of the system, which is an older one: 3.4 in Debian 12. */

const LONG = 240_000;
let cluster: EtcdCluster | undefined;
afterAll(() => cluster?.stop(), LONG);

testNeeding('etcd')(
  'an older etcd of three members, one of which is killed meanwhile, is dumped and restored',
  async () => {
    const path = execFileSync('sh', ['-c', 'command -v etcd'], { encoding: 'utf8' }).trim();
    cluster = await EtcdCluster.start(3, { path });
    const { client, access } = cluster;
    const put = (key: string | Buffer, value: string | Buffer) =>
      client.kv.put({ key: Buffer.from(key), value: Buffer.from(value) });
    await put(Buffer.from([0xff, 0]), randomBytes(50));
    await put('empty', '');
    for (let number = 0; number < 6; number++) await put(`large/${number}`, randomBytes(1_000_000));
    for (let number = 0; number < 500; number++) await put(`small/${number}`, String(number));
    const content = async () =>
      Object.entries(await client.getAll().buffers()).map(([key, value]) => [key, `${value}`]);
    const before = await content();

    const streams = new StreamsInMemory();
    const leader = await cluster.leader();
    let chunks = 0;
    streams.onWrite = async () => {
      if (++chunks === 2) await cluster?.kill(leader);
    };
    const data = await activities.dump(undefined, etcdContext({ ...access, member: true }, streams, 'operation-1'));
    await cluster.startAgain(leader);
    expect(data).toMatchObject({
      keys: 508,
      server: expect.stringMatching(/^3\./),
      member: { bytes: expect.any(Number) },
    });

    await put('extra', 'x');
    await put('large/3', 'changed');
    await client.delete().prefix('small/1').exec();
    const restored = await activities.restore({ data, dryRun: false }, etcdContext(access, streams, 'operation-2'));
    expect(restored).toMatchObject({ put: 112, deleted: 1 });
    expect(await content()).toEqual(before);
    const again = await activities.restore({ data, dryRun: false }, etcdContext(access, streams, 'operation-3'));
    expect(again).toMatchObject({ put: 0, deleted: 0, same: 508 });
  },
  LONG,
);
