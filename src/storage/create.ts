import { randomBytes } from 'node:crypto';
import type { RootDocument } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import { HomarusError } from '../domain/errors.ts';
import { randomPart } from './ids.ts';
import type { CallOptions, ObjectStore } from './objectStore.ts';
import { proveStorage } from './probe.ts';
import type { Repository, RepositoryParameters } from './repository.ts';
import { openRepository, REPOSITORY_KEY, sealJson } from './repository.ts';
import type { RootAt } from './roots.ts';
import { firstObject, lostRoots, presentRoot } from './roots.ts';

const MiB = 1024 * 1024;

export interface CreateOptions extends CallOptions {
  cluster: string;
  chunker?: RepositoryParameters['chunker'];
  pack?: RepositoryParameters['pack'];
  /** zstd level of the repository that is answered. */
  level?: number;
}

/**
 * Creates the repository of a cluster: proves that the storage keeps its word, then `repository.json`, then the first
 * root, each if absent. One that was killed in between is finished. `RepositoryExists`, `ForeignRepository`;
 * `StorageUnsuitable` says which promise was broken; `ObjectMissing` where only the roots are lost.
 */
export async function createRepository(
  store: ObjectStore,
  options: CreateOptions,
): Promise<{ repository: Repository; at: RootAt }> {
  const { cluster } = options;
  if ((await store.read(REPOSITORY_KEY, undefined, options)) === undefined) {
    const found = (await firstObject({ store }, options)) ?? (await firstRoot(store, options));
    if (found !== undefined) throw lostParameters(store, found);
    await proveStorage(store, options);
    const parameters = Buffer.from(`${JSON.stringify(newParameters(options), undefined, 2)}\n`);
    await store.create(REPOSITORY_KEY, parameters, options);
  }
  // What stands there counts: another may have been first.
  const repository = await openRepository(store, options);
  if ((await firstRoot(store, options)) !== undefined) throw exists(repository);
  const found = await firstObject(repository, options);
  if (found !== undefined) throw lostRoots(repository, found);
  const root = newRoot(cluster);
  const key = keys.root(1);
  await store.create(key, sealJson(repository, { kind: 'root', key }, root), options);
  const at = await presentRoot(repository, options);
  if (at.root.nonce !== root.nonce) throw exists(repository);
  return { repository, at };
}

function newParameters({ cluster, chunker, pack }: CreateOptions): RepositoryParameters {
  return {
    version: 1,
    id: randomBytes(16).toString('hex'),
    cluster,
    created: new Date().toISOString(),
    chunker: chunker ?? { kind: 'fixed', size: 8 * MiB, minimum: MiB / 16, inline: 128 },
    pack: pack ?? { size: 32 * MiB, block: MiB },
    encryption: null,
  };
}

function newRoot(cluster: string): RootDocument {
  return {
    version: 1,
    features: [],
    number: 1,
    previous: '',
    nonce: randomPart(),
    written: new Date().toISOString(),
    cluster,
    epoch: 0,
    holder: null,
    floor: 0,
    swept: 0,
    backups: [],
    indexes: [],
    damaged: [],
  };
}

async function firstRoot(store: ObjectStore, options: CallOptions): Promise<string | undefined> {
  for await (const { key } of store.list('roots/', options)) return key;
  return undefined;
}

function exists(repository: Repository): HomarusError {
  const { cluster } = repository.parameters;
  return new HomarusError(
    'RepositoryExists',
    `${repository.store.description} holds the repository of cluster "${cluster}" already`,
  );
}

function lostParameters(store: ObjectStore, found: string): HomarusError {
  return new HomarusError('ObjectMissing', `${store.description} holds ${found}, but no ${REPOSITORY_KEY}`, {
    hint: `Put ${REPOSITORY_KEY} back, "homarus repair" needs it; or use another prefix or path.`,
  });
}
