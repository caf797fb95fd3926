import { join } from 'node:path';
import type { Config, NodeConfig } from '../config.ts';
import { HomarusError, hasCode } from '../domain/errors.ts';
import type { ClusterSettings } from '../domain/operations.ts';
import type { RepositoryArgs } from '../node/jobs.ts';
import type { ObjectStore } from '../storage/objectStore.ts';
import type { StorageSettings } from '../storage/openStore.ts';
import { openStore } from '../storage/openStore.ts';
import type { Known, Repository } from '../storage/repository.ts';
import { openRepository } from '../storage/repository.ts';
import { presentRoot } from '../storage/roots.ts';
import { SeenRoots } from '../storage/seen.ts';

/** What processes and operations take from the configuration. */

export function storageNamed(config: Config, name: string | undefined): { name: string; settings: StorageSettings } {
  const wanted = name ?? config.defaultStorage;
  const settings = config.storages[wanted];
  if (settings) return { name: wanted, settings };
  const known = Object.keys(config.storages).join(', ');
  throw new HomarusError('BadInput', `storage: there is no "${wanted}" in the configuration; it has ${known}`);
}

export function nodeNamed(config: Config, id: string): NodeConfig {
  const node = config.nodes.find((one) => one.id === id);
  if (node) return node;
  const known = config.nodes.map((one) => one.id).join(', ');
  throw new HomarusError('BadInput', `node: there is no "${id}" in the configuration; it has ${known}`);
}

export function clusterSettings(config: Config, storage: string | undefined): ClusterSettings {
  const { ttl, refresh, heartbeat } = config.lock;
  return {
    cluster: config.cluster,
    storage: storageNamed(config, storage).name,
    nodes: config.nodes.map(({ id, az }) => ({ id, az })),
    plugin: config.plugin.name,
    lock: { ttl, refresh, heartbeat },
    attempts: config.attempts.backup,
    allowMissing: config.backup.allowMissing,
    notifies: config.notifications.length > 0,
  };
}

export interface RepositoryOptions {
  /** Another cluster's is not refused. */
  anyCluster?: boolean;
  /** It must be the one with this id. */
  id?: string;
  signal?: AbortSignal;
}

/** A storage that does not answer must not keep a process from starting, ms. */
const LOOK_WITHIN = 5_000;

/** Where coordinators of this machine remember the roots that they saw. */
export const seenByCoordinator = ({ dataDir }: Pick<Config, 'dataDir'>): SeenRoots =>
  new SeenRoots(join(dataDir, 'coordinator'));

/**
 * Stores are opened once for each storage. Which repository is in it may change between operations, so it is looked at
 * anew where no id says which one is meant; what is known of it is kept, since a passphrase takes half a second.
 */
export class Repositories {
  readonly #config: Config;
  readonly #stores = new Map<string, Promise<ObjectStore>>();
  readonly #known = new Map<string, Known>();

  constructor(config: Config) {
    this.#config = config;
  }

  async open(storage: string, { anyCluster, id, signal }: RepositoryOptions = {}): Promise<Repository> {
    const cluster = anyCluster ? undefined : this.#config.cluster;
    const { level } = this.#config.compression;
    const { encryption } = storageNamed(this.#config, storage).settings;
    const repository = await openRepository(await this.#store(storage), {
      ...{ cluster, id, level, encryption, known: this.#known.get(storage) },
      ...(signal ? { signal } : {}),
    });
    this.#known.set(storage, repository);
    return repository;
  }

  /** For who works on the repository `id` in a thread; `cluster`: it must be this cluster's, undefined: any may be read. */
  async jobArgs(
    storage: string,
    { id, cluster, signal }: { id: string; cluster: string | undefined; signal: AbortSignal },
  ): Promise<RepositoryArgs> {
    const { compression, parallelism } = this.#config;
    const { threads, requests } = parallelism;
    const { parameters, unlocked } = await this.open(storage, { anyCluster: cluster === undefined, id, signal });
    return {
      storage: storageNamed(this.#config, storage).settings,
      opened: { parameters, unlocked },
      level: compression.level,
      ...{ threads, requests },
    };
  }

  /**
   * Looks into every storage before this process does anything, so that no operation waits for a passphrase: `KeyMissing`
   * or `KeyWrong` ends it. Whatever else is amiss there may be mended later; the operation that needs it will say so.
   */
  async checkKeys(): Promise<void> {
    const signal = AbortSignal.timeout(LOOK_WITHIN);
    const looks = Object.keys(this.#config.storages).map(async (storage) => {
      try {
        await presentRoot(await this.open(storage, { anyCluster: true, signal }), { signal });
      } catch (error) {
        if (hasCode(error, 'KeyMissing', 'KeyWrong')) throw error;
      }
    });
    await Promise.all(looks);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#stores.values()].map(async (store) => (await store).close()));
  }

  #store(storage: string): Promise<ObjectStore> {
    const known = this.#stores.get(storage);
    if (known) return known;
    const { settings } = storageNamed(this.#config, storage);
    const store = openStore(settings, { requests: this.#config.parallelism.requests });
    this.#stores.set(storage, store);
    // What cannot be opened now is tried again the next time.
    store.catch(() => this.#stores.delete(storage));
    return store;
  }
}
