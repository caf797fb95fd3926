import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EtcdCluster } from '../support/etcd.ts';
import { createTopology, ENVIRONMENT, endpointOf, type M3Address, m3Address, PLACEMENT } from '../support/m3.ts';
import { decodePlacement } from '../support/m3Proto.ts';
import { type PluginGiven, pluginContract } from '../support/pluginContract.ts';
import { filesOf, secret, writeFiles } from '../support/pluginData.ts';

/** Plugins that need an etcd. */

/** With authentication on: the password is the secret. */
function etcd(): PluginGiven {
  let cluster: EtcdCluster;
  const put = (key: string, value: string) => cluster.client.put(key).value(value).exec();
  return {
    async start() {
      cluster = await EtcdCluster.start(1);
      await cluster.requirePasswords('homarus', secret.value, ['app/', 'homarus/']);
    },
    stop: () => cluster?.stop(),
    plugin: () => ({
      name: 'etcd',
      options: {
        endpoints: cluster.endpoints,
        ...{ user: 'homarus', passwordEnv: secret.name, prefixes: ['app/'] },
      },
    }),
    secret,
    async write(room, round) {
      writeFiles(room, round);
      await cluster.client.delete().prefix('app/').exec();
      // So many that they come in several chunks and transactions.
      for (let number = 0; number < 4; number++) await put(`app/${number}`, String(round).repeat(600_000));
      await put('app/round', String(round));
      await put(`app/of-round-${round}`, '');
    },
    state: async (room) => [filesOf(room), await cluster.client.getAll().prefix('app/').strings()],
    left: () => [],
    ...{ leaves: false, checks: true, stops: 10 },
  };
}

/** The etcd of an M3 cluster, and files named as M3 names its own; test/integration/m3.test.ts has M3 itself. */
function m3(): PluginGiven {
  let cluster: EtcdCluster;
  const addresses = new Map<string, M3Address>();
  const setting = `_kv/${ENVIRONMENT}/m3db.query.limits`;
  return {
    async start() {
      cluster = await EtcdCluster.start(1);
      await cluster.requirePasswords('homarus', secret.value, ['_sd.placement/', '_kv/', 'homarus/']);
      for (const node of ['n1', 'n2']) addresses.set(node, await m3Address(`m3-${node}`));
    },
    stop: () => cluster?.stop(),
    plugin: () => ({
      name: 'm3',
      options: {
        etcd: { endpoints: cluster.endpoints, user: 'homarus', passwordEnv: secret.name },
        nodes: Object.fromEntries(
          [...addresses].map(([node, address]) => [node, { id: address.id, endpoint: endpointOf(address) }]),
        ),
      },
    }),
    secret,
    async write(room, round) {
      for (const node of room.nodes) {
        const directory = join(room.root(node), 'data');
        rmSync(directory, { recursive: true, force: true });
        mkdirSync(directory);
        for (const name of ['one.db', `of-round-${round}.db`]) {
          writeFileSync(join(directory, name), `${name} of ${node} in round ${round}`.repeat(20));
        }
      }
      await createTopology(cluster.client, [...addresses.values()]);
      await cluster.client.put(setting).value(`limits of round ${round}`).exec();
    },
    state: async (room) => [
      room.nodes.map((node) =>
        readdirSync(join(room.root(node), 'data'))
          .sort()
          .map((name) => readFileSync(join(room.root(node), 'data', name), 'utf8')),
      ),
      decodePlacement((await cluster.client.get(PLACEMENT).buffer()) as Buffer),
      await cluster.client.getAll().prefix('_kv/').strings(),
    ],
    left: (room, node) => ['.homarus-m3'].filter((name) => existsSync(join(room.root(node), name))),
    ...{ leaves: true, checks: true, stops: 10 },
  };
}

pluginContract('etcd', etcd());
pluginContract('m3', m3());
