import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { MARKER } from '../../src/plugins/etcd/restoreKeys.ts';
import { activities } from '../../src/plugins/m3/activities.ts';
import { DIRECTORIES, HELD } from '../../src/plugins/m3/layout.ts';
import type { M3Options } from '../../src/plugins/m3/options.ts';
import type { CoordinatorContext } from '../../src/plugins/module.ts';
import { TestCluster } from '../support/cluster.ts';
import { EtcdCluster } from '../support/etcd.ts';
import { StreamsInMemory } from '../support/etcdContext.ts';
import {
  COORDINATORS,
  closedBlock,
  createTopology,
  ENVIRONMENT,
  endpointOf,
  type M3Address,
  M3Processes,
  m3Address,
  NAMESPACES,
  PLACEMENT,
  type Sample,
} from '../support/m3.ts';
import { decodePlacement, encodePlacement } from '../support/m3Proto.ts';
import { TcpProxy } from '../support/tcpProxy.ts';

/** Real M3DB: three nodes with replication factor 1, so that one node that is lost or swapped loses samples. */

const LONG = 300_000;
/** Processes are killed and start again while it is held. */
const LOCK = { ttl: '60s', refresh: '1s', heartbeat: '6s', throttle: '500ms' };
const EVERYTHING = { key: Buffer.from([0]), range_end: Buffer.from([0]) };

let etcd: EtcdCluster;
beforeAll(async () => {
  etcd = await EtcdCluster.start(1);
}, LONG);
afterAll(() => etcd?.stop(), LONG);

const placementNow = async () => decodePlacement((await etcd.client.get(PLACEMENT).buffer())!);
const revision = async (): Promise<string> => (await etcd.client.kv.range(EVERYTHING)).header.revision;
const wipeEtcd = () => etcd.client.kv.deleteRange(EVERYTHING);

describe('a cluster of M3DB', () => {
  const NODES = ['n1', 'n2', 'n3'];
  const samples = (name: string, at: number): Sample[] =>
    Array.from({ length: 120 }, (_, n) => ({ id: `${name}-${n}`, at: at + n, value: n + 0.5 }));
  const valuesOf = (all: readonly Sample[]) => all.map(({ value }) => value);
  let cluster: TestCluster;
  let m3: M3Processes | undefined;
  let line: TcpProxy | undefined;
  let backup: string;
  let flushed: Sample[];
  let open: Sample[];

  const optionsFor = (nodes: readonly M3Address[], endpoints = etcd.endpoints) => ({
    etcd: { endpoints },
    nodes: Object.fromEntries(
      nodes.map((node, place) => [NODES[place], { id: node.id, endpoint: endpointOf(node), port: node.ports.node }]),
    ),
  });
  /** On the files of the nodes, in their order. */
  const start = async (addresses: readonly M3Address[], logs: string): Promise<void> => {
    const directory = join(cluster.directory, logs);
    mkdirSync(directory);
    const nodes = addresses.map((one, place) => ({ ...one, directory: cluster.root(NODES[place] as string) }));
    m3 = await M3Processes.start(nodes, new URL(etcd.endpoints[0] as string).host, directory);
  };
  /** All that M3 has, but for its lock. */
  const wipeData = (): void => {
    for (const node of NODES) {
      for (const name of readdirSync(cluster.root(node)).filter((one) => !one.startsWith('.'))) {
        rmSync(join(cluster.root(node), name), { recursive: true });
      }
    }
  };
  /** All files of M3 on the nodes, with their sizes. */
  const filesNow = (): string[] =>
    NODES.flatMap((node) => DIRECTORIES.map((name) => join(cluster.root(node), name)))
      .filter((directory) => existsSync(directory))
      .flatMap((directory) => readdirSync(directory, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((file) => `${file} ${statSync(file).size}`)
      .sort();
  /** Gives all processes other options of the plugin. */
  const configure = async (options: object): Promise<void> => {
    const processes = ['coordinator', ...NODES];
    await Promise.all(processes.map((name) => cluster.shutDown(name)));
    const config = JSON.parse(readFileSync(cluster.configFile, 'utf8'));
    writeFileSync(cluster.configFile, JSON.stringify({ ...config, plugin: { name: 'm3', options } }));
    await Promise.all(processes.map((name) => cluster.launch(name)));
  };

  beforeAll(async () => {
    const nodes = await Promise.all(['d1', 'd2', 'd3'].map(m3Address));
    cluster = await TestCluster.start({
      storage: 'files',
      nodes: NODES,
      lock: LOCK,
      more: { plugin: { name: 'm3', options: optionsFor(nodes) } },
    });
    await createTopology(etcd.client, nodes);
    await start(nodes, 'm3-first');
  }, LONG);
  afterAll(async () => {
    await m3?.stop();
    await cluster?.stop();
    await line?.stop();
  }, LONG);

  test(
    'is backed up while writes go on; nothing stays behind beside its files',
    async () => {
      const block = closedBlock();
      flushed = samples('flushed', block + 60);
      await m3!.writeAll(flushed);
      await m3!.untilFlushed(block);
      open = samples('open', Math.floor(Date.now() / 1000) - 200);
      await m3!.writeAll(open);
      await m3!.untilLogged(open);

      let stop = false;
      const writer = (async () => {
        let written = 0;
        for (; !stop; written++) {
          await m3!.write({ id: `late-${written % 50}`, at: Math.floor(Date.now() / 1000), value: written });
          await m3!.write({ id: `late-${written % 50}`, at: block + (written % 3000), value: written });
        }
        return written;
      })();
      ({ backup } = (await cluster.does('backup')) as { backup: string });
      stop = true;
      expect(await writer).toBeGreaterThan(0);
      for (const node of NODES) expect(existsSync(join(cluster.root(node), HELD))).toBe(false);
      const listed = JSON.stringify(await cluster.does('show', backup));
      expect(listed).toContain('m3');
    },
    LONG,
  );

  test(
    'is not restored while M3 runs on the files, seen by its lock, and by its endpoint when the lock was removed',
    async () => {
      const refused = await cluster.homarus('restore', backup, '--yes');
      expect(refused.exit).toBe(30);
      expect(refused.json.error).toMatchObject({ code: 'M3Running' });
      expect(refused.json.error?.message).toMatch(/files of node n\d in .*: a process holds the lock/);
      const locks = NODES.map((node) => join(cluster.root(node), '.lock'));
      for (const lock of locks) renameSync(lock, `${lock}-aside`);
      const { json } = await cluster.homarus('restore', backup, '--yes');
      for (const lock of locks) renameSync(`${lock}-aside`, lock);
      expect(json.error?.message).toMatch(/something listens at its endpoint 127\.0\.0\.1:\d+$/);
      expect(await m3!.read(flushed)).toEqual(valuesOf(flushed));
    },
    LONG,
  );

  test(
    'comes back on the same nodes: all that was flushed, the open block, and etcd as it was, its empty value too',
    async () => {
      const before = await placementNow();
      const { nodes } = m3!;
      // A lock that a dead process left is none.
      await m3!.kill();
      expect(existsSync(join(cluster.root('n1'), '.lock'))).toBe(true);
      wipeData();
      await wipeEtcd();
      const shown = await cluster.does('restore', backup, '--dry-run');
      expect(shown).toMatchObject({
        plugin: { put: 3, deleted: 0, named: expect.arrayContaining([`put ${PLACEMENT}`]) },
      });
      const restored = await cluster.does('restore', backup, '--yes', '--check');
      expect(restored.plugin).toMatchObject({ put: 3, deleted: 0, same: 0 });
      expect(await placementNow()).toEqual(before);
      expect((await etcd.client.get(COORDINATORS).buffer())?.length).toBe(0);
      await start(nodes, 'm3-same');
      expect(await m3!.read(flushed)).toEqual(valuesOf(flushed));
      expect(await m3!.read(open)).toEqual(valuesOf(open));
    },
    LONG,
  );

  test(
    'of a part of the nodes leaves etcd alone',
    async () => {
      await m3!.stop();
      await etcd.client.put(NAMESPACES).value('changed');
      const at = await revision();
      const { plugin } = await cluster.does('restore', backup, '--yes', '--node', 'n1');
      expect(plugin).toBeUndefined();
      expect(await revision()).toBe(at);
    },
    LONG,
  );

  test(
    'comes back on other nodes, whose ids are permuted, with other endpoints and ports, though all is killed between files and etcd',
    async () => {
      const before = await placementNow();
      const nodes = await Promise.all(['d2', 'd1', 'e3'].map(m3Address));
      const old = (await etcd.client.get(PLACEMENT).buffer())!;
      wipeData();
      await wipeEtcd();
      await etcd.client.put(PLACEMENT).value(old);
      // As a process leaves it that is killed while it holds files.
      mkdirSync(join(cluster.root('n1'), HELD, 'data'), { recursive: true });
      line = await TcpProxy.start(etcd.endpoints[0] as string);
      await configure(optionsFor(nodes, [`http://${line.address}`]));
      expect(existsSync(join(cluster.root('n1'), HELD))).toBe(false);
      const at = await revision();
      // Asked for first by what writes to etcd.
      let atEtcd = false;
      void line.dropFrom(MARKER.toString()).then(() => {
        atEtcd = true;
      });
      const restore = await cluster.begins('restore', backup, '--yes');
      await cluster.until(restore, () => atEtcd);
      const files = filesNow();
      expect(files.length).toBeGreaterThan(0);
      const processes = ['coordinator', ...NODES];
      await Promise.all(processes.map((name) => cluster.kill(name)));
      // The old placement stands.
      expect(await revision()).toBe(at);
      await line.set('pass');
      await Promise.all(processes.map((name) => cluster.launch(name)));
      expect(await cluster.end(restore)).toMatchObject({
        state: 'succeeded',
        result: { plugin: { put: 3, deleted: 0, same: 0 } },
      });
      expect(filesNow()).toEqual(files);
      expect(await etcd.client.get(MARKER).exists()).toBe(false);
      const after = await placementNow();
      const expected = ['d1', 'd2', 'd3'].map((former, place) => {
        const { id, ports } = nodes[place]!;
        const endpoint = endpointOf(nodes[place]!);
        return { ...before.instances[former], id, endpoint, hostname: '127.0.0.1', port: ports.node };
      });
      expect(after).toEqual({ ...before, instances: Object.fromEntries(expected.map((one) => [one.id, one])) });
      await start(nodes, 'm3-other');
      expect(await m3!.read(flushed)).toEqual(valuesOf(flushed));
      expect(await m3!.read(open)).toEqual(valuesOf(open));
    },
    LONG,
  );

  test(
    'a configuration that does not fit the placement is refused before anything is written',
    async () => {
      await m3!.stop();
      await etcd.client.delete().key(PLACEMENT);
      const at = await revision();
      const { exit, json } = await cluster.homarus('backup');
      expect([exit, json.error?.code]).toEqual([30, 'M3PlacementUnfit']);
      expect(json.error?.message).toBe(`M3: etcd has no placement under the key ${PLACEMENT}`);
      expect(await revision()).toBe(at);
      const config = JSON.parse(readFileSync(cluster.configFile, 'utf8'));
      delete config.plugin.options.nodes.n3;
      const other = join(cluster.directory, 'other.json');
      writeFileSync(other, JSON.stringify(config));
      const checked = await cluster.homarus('config', 'check', '--config', other);
      expect(checked.json.error?.message).toContain('plugin.options.nodes.n3: is missing; each node is an instance');
    },
    LONG,
  );
});

describe('what the plugin reads of etcd', () => {
  const options: Pick<M3Options, 'nodes'> & { environment: string; service: string } = {
    ...{ environment: ENVIRONMENT, service: 'm3db' },
    nodes: { n1: { id: 'd1', endpoint: 'a:9000' }, n2: { endpoint: 'b:9000' } },
  };
  const contextFor = (streams: StreamsInMemory, changed: object = {}): CoordinatorContext<M3Options> => ({
    options: { etcd: etcd.access, ...options, ...changed },
    cluster: 'east',
    nodes: [
      { id: 'n1', az: '' },
      { id: 'n2', az: 'az-9' },
    ],
    operation: 'operation-1',
    signal: new AbortController().signal,
    log: () => undefined,
    failure: (message, more) => new Error(message, more),
    streams,
    backups: async () => [],
  });
  const pairs = ['n1', 'n2'].map((id) => ({ from: id, to: id }));
  const instance = (id: string) => ({ id, isolationGroup: 'old', weight: 5 });

  beforeAll(async () => {
    await wipeEtcd();
    const instances = { d1: instance('d1'), n2: instance('n2') };
    await etcd.client.put(PLACEMENT).value(encodePlacement({ instances }));
    await etcd.client.put(NAMESPACES).value(Buffer.from([1, 0xff]));
    await etcd.client.put(COORDINATORS).value('');
    await etcd.client.put(`_kv/${ENVIRONMENT}/other`).value('of somebody else');
  }, LONG);

  test(
    'a change while the backup runs fails the attempt, also one that was taken back',
    async () => {
      const context = contextFor(new StreamsInMemory());
      const data = await activities.store(undefined, context);
      await activities.compare(data, context);
      await etcd.client.put(`_kv/${ENVIRONMENT}/other`).value('changed');
      await activities.compare(data, context);
      const placement = (await etcd.client.get(PLACEMENT).buffer())!;
      await etcd.client.put(PLACEMENT).value('changed');
      await etcd.client.put(PLACEMENT).value(placement);
      await expect(activities.compare(data, context)).rejects.toMatchObject({
        code: 'M3Changed',
        message: expect.stringContaining(
          `environment ${ENVIRONMENT} in etcd changed between revisions ${data.revision}`,
        ),
      });
    },
    LONG,
  );

  test(
    'instances and nodes must be the same, or neither a backup is made nor a key is written',
    async () => {
      const streams = new StreamsInMemory();
      const data = await activities.store(undefined, contextFor(streams));
      const nodes = { ...options.nodes, n2: { id: 'd9', endpoint: 'b:9000' } };
      await expect(activities.store(undefined, contextFor(streams, { nodes }))).rejects.toMatchObject({
        code: 'M3PlacementUnfit',
        message: 'M3: the placement has no instance d9; it has d1, n2',
      });
      await activities.readThrough(data, contextFor(streams));
      const others = { ...data, instances: { n1: 'd1', n2: 'd9' } };
      await expect(activities.readThrough(others, contextFor(streams))).rejects.toThrow('no instance d9');
      const at = await revision();
      const left = { data, pairs: pairs.slice(0, 1), missing: [], dryRun: false };
      await expect(activities.restore(left, contextFor(streams))).rejects.toThrow(
        'has instance n2, which is of no node',
      );
      expect(await revision()).toBe(at);
      // Of a partial backup the missing node keeps its data and its place.
      expect(await activities.restore({ ...left, missing: ['n2'] }, contextFor(streams))).toMatchObject({ put: 1 });
    },
    LONG,
  );

  test(
    'comes back under another environment, with extra settings there removed and all else left alone; again, nothing is written',
    async () => {
      const streams = new StreamsInMemory();
      const data = await activities.store(undefined, contextFor(streams));
      await etcd.client.put('_kv/copy/m3db.query.limits').value('extra');
      const input = { data, pairs, missing: [], dryRun: false };
      const copy = contextFor(streams, { environment: 'copy' });
      expect(await activities.restore(input, copy)).toMatchObject({ put: 3, deleted: 1 });
      expect(await etcd.client.get('_kv/copy/m3db.node.namespaces').buffer()).toEqual(Buffer.from([1, 0xff]));
      expect((await etcd.client.get('_kv/copy//namespaces').buffer())?.length).toBe(0);
      expect(await etcd.client.get('_kv/copy/other').string()).toBeNull();
      const placement = decodePlacement((await etcd.client.get('_sd.placement/copy/m3db').buffer())!);
      expect(placement.instances).toEqual({
        d1: { ...instance('d1'), endpoint: 'a:9000', hostname: 'a' },
        n2: { ...instance('n2'), endpoint: 'b:9000', hostname: 'b', isolationGroup: 'az-9' },
      });
      const at = await revision();
      expect(await activities.restore(input, copy)).toMatchObject({ put: 0, deleted: 0, same: 3 });
      expect(await revision()).toBe(at);
    },
    LONG,
  );
});
