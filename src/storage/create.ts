import { randomBytes } from 'node:crypto';
import type { RootDocument } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import { HomarusError } from '../domain/errors.ts';
import { makeDataKey } from './dataKeys.ts';
import { blake3 } from './hash.ts';
import { randomPart } from './ids.ts';
import type { ScryptCost } from './keySlot.ts';
import { makeSlot } from './keySlot.ts';
import type { CallOptions, ObjectStore } from './objectStore.ts';
import { proveStorage } from './probe.ts';
import type { Known, Repository, RepositoryParameters } from './repository.ts';
import { firstObject, lostParameters, openRepository, REPOSITORY_KEY, sealJson } from './repository.ts';
import type { RootAt } from './roots.ts';
import { lostRoots, presentRoot } from './roots.ts';
import { KEY_BYTES } from './sealing.ts';
import type { SecretSource } from './secret.ts';
import { readSecret } from './secret.ts';
import { slotPlace, storeSlot, unlockedBy } from './unlock.ts';

const MiB = 1024 * 1024;
const FIRST_GENERATION = 1;

export interface CreateOptions extends CallOptions {
  cluster: string;
  chunker?: RepositoryParameters['chunker'];
  pack?: RepositoryParameters['pack'];
  /** zstd level of the repository that is answered. */
  level?: number;
  /** What the first key slot is made for; plain without. */
  encryption?: SecretSource | undefined;
  /** Who makes it, and what the slot is called; for people. */
  by?: string;
  label?: string;
  /** Of a passphrase; tests have a cheaper one. */
  scrypt?: ScryptCost;
}

/**
 * Creates the repository of a cluster: proves that the storage keeps its word, then `repository.json`, then the first
 * root, each if absent; of an encrypted one the first key slot before, and its data key between. One that was killed in between is finished. `RepositoryExists`, `ForeignRepository`;
 * `StorageUnsuitable` says which promise was broken; `ObjectMissing` where only the roots are lost.
 */
export async function createRepository(
  store: ObjectStore,
  options: CreateOptions,
): Promise<{ repository: Repository; at: RootAt }> {
  let known: Known | undefined;
  if ((await store.read(REPOSITORY_KEY, undefined, options)) === undefined) {
    const found = await firstObject({ store }, options);
    if (found !== undefined) throw lostParameters(store, found);
    await proveStorage(store, options);
    known = await createParameters(store, options);
  }
  // What stands there counts: another may have been first.
  const repository = await openRepository(store, { ...options, known });
  if ((await firstRoot(store, options)) !== undefined) throw exists(repository);
  const found = await firstObject(repository, options);
  if (found !== undefined) throw lostRoots(repository, found);
  if (repository.unlocked) await makeDataKey(repository, FIRST_GENERATION, options);
  const root = newRoot(repository);
  const key = keys.root(1);
  await store.create(key, sealJson(repository, { kind: 'root', key }, root), options);
  const at = await presentRoot(repository, options);
  if (at.root.nonce !== root.nonce) throw exists(repository);
  return { repository, at };
}

/** `repository.json`, after the slot that opens it: whoever finds the one can go on with the other. */
async function createParameters(store: ObjectStore, options: CreateOptions): Promise<Known> {
  const parameters = newParameters(options);
  const bytes = Buffer.from(`${JSON.stringify(parameters, undefined, 2)}\n`);
  const { encryption, by = '', label = '', scrypt } = options;
  if (!encryption) {
    await store.create(REPOSITORY_KEY, bytes, options);
    return { parameters };
  }
  const secret = await readSecret(encryption);
  const content = { master: randomBytes(KEY_BYTES), parameters: blake3.hash([bytes]) };
  const slot = randomPart();
  const note = { label, by, at: parameters.created };
  await storeSlot(store, slot, await makeSlot(slotPlace(parameters.id, slot), secret, content, note, scrypt), options);
  await store.create(REPOSITORY_KEY, bytes, options);
  // Whatever was answered: another that was first has slots of its own.
  if (!(await store.read(REPOSITORY_KEY, undefined, options))?.equals(bytes))
    await store.remove([keys.slot(slot)], options);
  return { parameters, unlocked: unlockedBy(parameters.id, slot, content) };
}

function newParameters({ cluster, chunker, pack, encryption }: CreateOptions): RepositoryParameters {
  return {
    version: 1,
    id: randomBytes(16).toString('hex'),
    cluster,
    created: new Date().toISOString(),
    chunker: chunker ?? { kind: 'fixed', size: 8 * MiB, minimum: MiB / 16, inline: 128 },
    pack: pack ?? { size: 32 * MiB, block: MiB },
    encryption: encryption ? { cipher: 'aes-256-gcm' } : null,
  };
}

function newRoot({ parameters: { cluster }, unlocked }: Repository): RootDocument {
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
    ...(unlocked ? { keys: { generation: FIRST_GENERATION, slots: [unlocked.slot] } } : {}),
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
