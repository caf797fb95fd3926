import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Etcd3 } from 'etcd3';
import { launch, type Running, untilReady } from '../../src/servers/process.ts';
import { findServer, freePort } from '../../src/servers.ts';
import { encodePlacement, encodeRegistry } from './m3Proto.ts';

/** A real M3DB cluster on this machine: replication factor 1, so that a lost or swapped node is seen. */

export const ENVIRONMENT = 'default_env';
export const PLACEMENT = `_sd.placement/${ENVIRONMENT}/m3db`;
export const NAMESPACES = `_kv/${ENVIRONMENT}/m3db.node.namespaces`;
export const COORDINATORS = `_kv/${ENVIRONMENT}//namespaces`;

const NAMESPACE = 'default';
const SHARDS = 6;
const HOUR = 3600;
const BLOCK = 2 * HOUR;

export interface Sample {
  id: string;
  /** Unix time, s. */
  at: number;
  value: number;
}

export interface M3Address {
  /** Of its instance. */
  id: string;
  ports: { node: number; cluster: number; nodeHttp: number; clusterHttp: number; debug: number };
}

interface M3Node extends M3Address {
  /** Its `filePathPrefix`. */
  directory: string;
}

export async function m3Address(id: string): Promise<M3Address> {
  const ports = {
    ...{ node: await freePort(), cluster: await freePort(), nodeHttp: await freePort() },
    ...{ clusterHttp: await freePort(), debug: await freePort() },
  };
  return { id, ports };
}

export const endpointOf = ({ ports }: M3Address): string => `127.0.0.1:${ports.node}`;

/** Placement and namespaces of a new cluster, as M3's coordinator writes them. */
export async function createTopology(etcd: Etcd3, nodes: readonly M3Address[]): Promise<void> {
  const instances = nodes.map((node, place) => ({
    id: node.id,
    isolationGroup: `az-${place + 1}`,
    zone: 'embedded',
    weight: 100,
    endpoint: endpointOf(node),
    hostname: '127.0.0.1',
    port: node.ports.node,
    shards: Array.from({ length: SHARDS }, (_, id) => id)
      .filter((id) => id % nodes.length === place)
      .map((id) => ({ id, state: 1, cutoffNanos: '9223372036854775807' })),
  }));
  const placement = {
    instances: Object.fromEntries(instances.map((one) => [one.id, one])),
    ...{ replicaFactor: 1, numShards: SHARDS, isSharded: true },
  };
  const nanos = (seconds: number): string => `${seconds}000000000`;
  const namespace = {
    ...{ bootstrapEnabled: true, flushEnabled: true, writesToCommitLog: true, cleanupEnabled: true },
    ...{ snapshotEnabled: true, coldWritesEnabled: true, stagingState: { status: 2 } },
    retentionOptions: {
      retentionPeriodNanos: nanos(8 * HOUR),
      blockSizeNanos: nanos(BLOCK),
      bufferFutureNanos: nanos(600),
      bufferPastNanos: nanos(600),
      blockDataExpiry: true,
      blockDataExpiryAfterNotAccessPeriodNanos: nanos(300),
    },
    indexOptions: { enabled: false, blockSizeNanos: nanos(BLOCK) },
  };
  await etcd.put(PLACEMENT).value(encodePlacement(placement));
  await etcd.put(NAMESPACES).value(encodeRegistry({ namespaces: { [NAMESPACE]: namespace } }));
  await etcd.put(COORDINATORS).value('');
}

/** The start of a block that is closed, s. */
export const closedBlock = (): number => Math.floor(Date.now() / 1000 / BLOCK) * BLOCK - 2 * BLOCK;

/** Nodes of M3 that run. */
export class M3Processes {
  readonly nodes: readonly M3Node[];
  readonly #running: Running[];

  private constructor(nodes: readonly M3Node[], running: Running[]) {
    this.nodes = nodes;
    this.#running = running;
  }

  /** Waits until all have what they own, and answer. `logs`: a directory for their logs and caches. */
  static async start(nodes: readonly M3Node[], etcd: string, logs: string): Promise<M3Processes> {
    const { path } = await findServer('m3dbnode', () => undefined);
    const started = new M3Processes(
      nodes,
      nodes.map((node) => {
        const file = join(logs, `${node.id}.yaml`);
        mkdirSync(node.directory, { recursive: true });
        writeFileSync(file, JSON.stringify(configuration(node, etcd, join(logs, `kv-${node.id}`))));
        // Some limits of the system are lower than M3 likes; it only warns.
        return launch(path, ['-f', file], { logFile: `${file}.log`, env: { ...process.env, GOMAXPROCS: '2' } });
      }),
    );
    try {
      await Promise.all(
        nodes.map(({ id, ports }, place) =>
          untilReady(`M3 ${id}`, started.#running[place]!, join(logs, `${id}.yaml.log`), async () => {
            const { ok } = await fetch(`http://127.0.0.1:${ports.nodeHttp}/bootstrapped`);
            if (!ok) throw new Error('not bootstrapped yet');
            await started.#ask(ports, 'fetch', { id: 'none', rangeStart: 0, rangeEnd: 1 });
          }),
        ),
      );
      return started;
    } catch (error) {
      await started.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#running.map((one) => one.stop()));
  }

  async kill(): Promise<void> {
    for (const one of this.#running) one.kill('SIGKILL');
    await Promise.all(this.#running.map(({ exited }) => exited));
  }

  /** Returns when M3 has acknowledged it. */
  async write({ id, at, value }: Sample): Promise<void> {
    await this.#ask(this.nodes[0]!.ports, 'write', { id, datapoint: { timestamp: at, value } });
  }

  async writeAll(samples: readonly Sample[]): Promise<void> {
    for (let from = 0; from < samples.length; from += 20) {
      await Promise.all(samples.slice(from, from + 20).map((sample) => this.write(sample)));
    }
  }

  /** What it answers of each: the value at that time, or undefined. */
  async read(samples: readonly Sample[]): Promise<(number | undefined)[]> {
    const values: (number | undefined)[] = [];
    for (const { id, at } of samples) {
      const answer = await this.#ask(this.nodes[0]!.ports, 'fetch', { id, rangeStart: at, rangeEnd: at + 1 });
      const { datapoints = [] } = answer as { datapoints?: { timestamp: number; value: number }[] };
      values.push(datapoints.find(({ timestamp }) => timestamp === at)?.value);
    }
    return values;
  }

  /** Waits until each shard has data of the block on disk. */
  async untilFlushed(block: number): Promise<void> {
    const mark = new RegExp(`^fileset-${block}000000000-[1-9]\\d*-checkpoint\\.db$`);
    const flushed = (): Set<string> =>
      new Set(this.nodes.flatMap(({ directory }) => filesIn(join(directory, 'data'), mark)).map(dirname));
    while (flushed().size < SHARDS) await pause(200);
  }

  /** Waits until M3 has written all of these down: it acknowledges before, and writes its commit log once in a second. */
  async untilLogged(samples: readonly Sample[]): Promise<void> {
    for (let missing = samples; missing.length > 0; await pause(200)) {
      const logged = this.nodes
        .flatMap(({ directory }) => [
          ...filesIn(join(directory, 'commitlogs'), /\.db$/),
          ...filesIn(join(directory, 'snapshots'), /-index\.db$/),
        ])
        .map(contentOf);
      missing = missing.filter(({ id }) => !logged.some((content) => content.includes(id)));
    }
  }

  /** Right after its start a node says for a moment that it has no session. */
  async #ask({ clusterHttp }: M3Address['ports'], what: string, body: object): Promise<unknown> {
    for (let tries = 0; ; tries++) {
      const answer = await fetch(`http://127.0.0.1:${clusterHttp}/${what}`, {
        method: 'POST',
        body: JSON.stringify({ namespace: NAMESPACE, ...body }),
      });
      const text = await answer.text();
      if (answer.ok) return JSON.parse(text);
      if (tries === 100 || !text.includes('session not yet initialized')) throw new Error(`M3 ${what}: ${text}`);
      await pause(100);
    }
  }
}

function filesIn(directory: string, name: RegExp): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && name.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}

/** M3 removes files at any time. */
function contentOf(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch {
    return Buffer.alloc(0);
  }
}

/** Small pools: the default ones take a gigabyte for each node. */
const POOLS = [
  ...[
    'checkedBytesWrapperPool',
    'closersPool',
    'contextPool',
    'seriesPool',
    'blockPool',
    'encoderPool',
    'iteratorPool',
  ],
  ...['segmentReaderPool', 'identifierPool', 'fetchBlockMetadataResultsPool', 'fetchBlocksMetadataResultsPool'],
  ...['replicaMetadataSlicePool', 'blockMetadataPool', 'blockMetadataSlicePool', 'blocksMetadataPool'],
  ...['blocksMetadataSlicePool', 'tagsPool', 'tagIteratorPool', 'indexResultsPool', 'tagEncoderPool', 'tagDecoderPool'],
  ...['writeBatchPool', 'bufferBucketPool', 'bufferBucketVersionsPool', 'retrieveRequestPool', 'postingsListPool'],
];

function configuration({ id, directory, ports }: M3Node, etcd: string, cacheDir: string): object {
  const at = (port: number): string => `127.0.0.1:${port}`;
  const buckets = [16, 32, 64, 128, 256, 1440, 4096].map((capacity) => ({ capacity, size: 256 }));
  return {
    db: {
      logging: { level: 'info' },
      listenAddress: at(ports.node),
      clusterListenAddress: at(ports.cluster),
      httpNodeListenAddress: at(ports.nodeHttp),
      httpClusterListenAddress: at(ports.clusterHttp),
      debugListenAddress: at(ports.debug),
      hostID: { resolver: 'config', value: id },
      client: { writeConsistencyLevel: 'majority', readConsistencyLevel: 'unstrict_majority' },
      gcPercentage: 50,
      tick: { seriesBatchSize: 512, perSeriesSleepDuration: '100us', minimumInterval: '1s' },
      cache: { postingsList: { size: 64 }, regexp: { size: 16 } },
      commitlog: { flushMaxBytes: 65536, flushEvery: '1s', queue: { calculationType: 'fixed', size: 4096 } },
      filesystem: { filePathPrefix: directory },
      discovery: {
        config: {
          service: {
            ...{ env: ENVIRONMENT, zone: 'embedded', service: 'm3db', cacheDir },
            etcdClusters: [{ zone: 'embedded', endpoints: [etcd] }],
          },
        },
      },
      pooling: { bytesPool: { buckets }, ...Object.fromEntries(POOLS.map((name) => [name, { size: 64 }])) },
    },
  };
}
