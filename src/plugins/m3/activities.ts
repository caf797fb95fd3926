import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { HomarusError } from '../../domain/errors.ts';
import { EtcdClient } from '../etcd/client.ts';
import { decodeKeys, encodeKeys } from '../etcd/dump.ts';
import type { KeyValue } from '../etcd/keys.ts';
import { type KeysRestored, MARKER, restoreKeys } from '../etcd/restoreKeys.ts';
import { type CoordinatorContext, defineActivities, type NodeContext } from '../module.ts';
import { type M3Data, m3, type TopologyInput } from './flow.ts';
import { hold, letGo } from './hold.ts';
import { DIRECTORIES } from './layout.ts';
import { instanceOf, type M3Options } from './options.ts';
import { expectInstances, type Instance, rewritePlacement } from './placement.ts';
import { signOfLife } from './running.ts';
import { placementKey, rangesOf, readTopology, renamed } from './topology.ts';

type Coordinator = CoordinatorContext<M3Options>;
type Node = NodeContext<M3Options>;

const KEYS = 'm3-etcd-keys';

export const { activities, cleanUp } = defineActivities<M3Options>()(m3, {
  activities: {
    store: (_, context) => using(context, (client) => store(client, context)),
    compare: (data, context) => using(context, (client) => compare(client, data, context)),
    restore: (input, context) => using(context, (client) => restore(client, input, context)),
    async readThrough(data, context) {
      expectInstances(placementIn(await storedKeys(context), data), Object.values(data.instances));
    },

    async hold(_, { node, signal, log, failure }) {
      for (const { path } of node.roots) {
        if (!DIRECTORIES.some((name) => existsSync(join(path, name)))) {
          throw failure(`there is nothing of M3 in ${path}: no ${DIRECTORIES.join(', no ')}`, {
            hint: "The root of a node is the filePathPrefix of M3's configuration.",
          });
        }
        const files = await hold(path, signal);
        log('info', `M3: ${files} files are held for the snapshot`, { node: node.id });
      }
    },
    letGo: (_, context) => letGoOf(context),

    async refuseRunning(_, { node, options }) {
      const { endpoint } = instanceNamed(options, node);
      for (const { path } of node.roots) {
        const sign = await signOfLife(path, endpoint);
        if (sign === undefined) continue;
        throw new HomarusError('M3Running', `M3 runs on the files of node ${node.id} in ${path}: ${sign}`);
      }
    },
  },
  cleanUp: letGoOf,
});

async function letGoOf({ node }: Node): Promise<void> {
  for (const { path } of node.roots) await letGo(path);
}

async function using<T>(context: Coordinator, work: (client: EtcdClient) => Promise<T>): Promise<T> {
  const client = new EtcdClient(context.options.etcd, context.signal);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

async function store(client: EtcdClient, context: Coordinator): Promise<M3Data> {
  const { options, nodes, streams, log } = context;
  const { environment, service } = options;
  const running = await client.get(MARKER);
  if (running !== undefined) {
    throw context.failure(`restore ${running.value} of this etcd did not come to its end`, {
      hint: 'Run the restore again.',
    });
  }
  const { keys, revision, digest } = await readTopology(client, options);
  const instances = Object.fromEntries(nodes.map((node) => [node.id, instanceNamed(options, node).id]));
  expectInstances(placementIn(keys, options), Object.values(instances));
  await streams.write(KEYS, encodeKeys(each(keys)), { cuts: 'given' });
  log('info', `M3: ${keys.length} keys of revision ${revision} of etcd`, { environment, service });
  return { environment, service, revision, digest, instances };
}

async function compare(client: EtcdClient, { revision, digest }: M3Data, { options }: Coordinator): Promise<void> {
  const now = await readTopology(client, options);
  if (now.digest === digest) return;
  throw new HomarusError(
    'M3Changed',
    `M3: the placement, namespaces or settings of environment ${options.environment} in etcd changed between revisions ` +
      `${revision} and ${now.revision}, while the backup ran`,
  );
}

async function restore(client: EtcdClient, input: TopologyInput, context: Coordinator): Promise<KeysRestored> {
  const { data, dryRun } = input;
  const { options, operation } = context;
  const stored = await storedKeys(context);
  placementIn(stored, data);
  const takers = takersOf(input, context);
  const wanted = stored.map((one) => {
    const key = renamed(one.key, data, options);
    if (key === undefined) throw new HomarusError('ObjectDamaged', `M3: the backup has a key that is not M3's`);
    const value = one.key.equals(placementKey(data)) ? rewritePlacement(one.value, takers) : one.value;
    return { key, value, lease: 0n };
  });
  return restoreKeys(client, {
    ranges: rangesOf(options),
    wanted: () => each(wanted),
    ignoreLeased: false,
    operation,
    dryRun,
  });
}

async function storedKeys({ streams }: Coordinator): Promise<KeyValue[]> {
  const stored: KeyValue[] = [];
  for await (const one of decodeKeys(streams.read(KEYS))) stored.push(one);
  return stored;
}

/** Which instance takes the place of which one of the backup. */
function takersOf({ data, pairs, missing }: TopologyInput, { options, nodes }: Coordinator): Map<string, Instance> {
  const kept = missing.filter((id) => nodes.some((node) => node.id === id)).map((id) => ({ from: id, to: id }));
  return new Map(
    [...pairs, ...kept].map(({ from, to }) => {
      const source = data.instances[from];
      const node = nodes.find(({ id }) => id === to);
      if (source === undefined || node === undefined) {
        throw new HomarusError('M3PlacementUnfit', `M3: the backup says of no instance that it is of node ${from}`);
      }
      return [source, instanceNamed(options, node)];
    }),
  );
}

function instanceNamed(options: M3Options, node: { id: string; az: string }): Instance {
  const instance = instanceOf(options, node);
  if (instance !== undefined) return instance;
  throw new HomarusError('ConfigInvalid', `plugin.options.nodes.${node.id} is missing; each node is an instance`);
}

function placementIn(keys: readonly KeyValue[], names: { environment: string; service: string }): Buffer {
  const key = placementKey(names);
  const found = keys.find((one) => one.key.equals(key));
  if (found !== undefined) return found.value;
  throw new HomarusError('M3PlacementUnfit', `M3: etcd has no placement under the key ${key}`);
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}
