import { parametersShape } from '../domain/documentShapes.ts';
import { HomarusError } from '../domain/errors.ts';
import type { Shape } from '../domain/shape.ts';
import type { BlockPlace, ObjectKind } from './block.ts';
import { damaged, MAX_BLOCK_BYTES, openObject, sealObject } from './block.ts';
import { blake3 } from './hash.ts';
import type { CallOptions, ObjectStore } from './objectStore.ts';
import { RootMemory } from './rootMemory.ts';
import type { Sealing } from './sealing.ts';
import type { SecretSource } from './secret.ts';
import type { Unlocked } from './unlock.ts';
import { unlock } from './unlock.ts';

/** `repository.json`: what never changes in a repository's life (docs/format.md, section 5). */
export interface RepositoryParameters {
  version: 1;
  /** 32 hex digits. */
  id: string;
  cluster: string;
  created: string;
  /** Bytes. */
  chunker: { kind: 'fixed'; size: number; minimum: number; inline: number };
  /** Bytes: content of a pack before compression, of a block of small chunks. */
  pack: { size: number; block: number };
  encryption: null | { cipher: 'aes-256-gcm' };
}

export const REPOSITORY_KEY = 'repository.json';

/** What a process may keep of a repository, and hand to its threads: none of it changes while the id is the same. */
export interface Known {
  readonly parameters: RepositoryParameters;
  /** Of an encrypted one. */
  readonly unlocked?: Unlocked | undefined;
  readonly roots?: RootMemory;
}

/** A store, and what is needed to read and write objects of one repository in it. */
export interface Repository extends Known {
  readonly store: ObjectStore;
  readonly sealing: Sealing;
  readonly roots: RootMemory;
  /** zstd level for what is written, 0 for none. */
  readonly level: number;
}

const knownVersions = new Set([1]);

export interface OpenOptions extends CallOptions {
  cluster?: string | undefined;
  /** Of the one that it must be. */
  id?: string | undefined;
  level?: number;
  /** What opens its keys, if it is encrypted. */
  encryption?: SecretSource | undefined;
  /**
   * What was opened before. Where it has `id`, nothing is read; otherwise `repository.json` is, and if it is the same
   * repository, its keys save the half second that a passphrase costs.
   */
  known?: Known | undefined;
}

/**
 * Opens the repository in `store`. `NoRepository` where there is none, `ForeignRepository` where it is another
 * cluster's (unless `cluster` is undefined: readers of any) or not the one with this `id`, `RepositoryIncompatible` where
 * it is newer than us, `KeyMissing` and `KeyWrong` where it is encrypted and not with our key, or plain and should not be.
 */
export async function openRepository(store: ObjectStore, options: OpenOptions = {}): Promise<Repository> {
  const { known, level = 1 } = options;
  if (known !== undefined && known.parameters.id === options.id) {
    refuseForeign(store, known.parameters, options);
    return knownRepository(store, known, level);
  }
  const bytes = await store.read(REPOSITORY_KEY, undefined, options);
  if (bytes === undefined) {
    const found = await firstObject({ store }, options);
    throw found === undefined
      ? new HomarusError('NoRepository', `${store.description} holds no repository`)
      : lostParameters(store, found);
  }
  const parameters = parseParameters(store, bytes);
  refuseForeign(store, parameters, options);
  const same = known?.parameters.id === parameters.id ? known : undefined;
  const unlocked = await unlockedIn(store, parameters, bytes, { ...options, unlocked: same?.unlocked });
  return knownRepository(store, { ...same, parameters, unlocked }, level);
}

/** One that was opened before, in another place of this process or through another store. */
export function knownRepository(store: ObjectStore, known: Known, level: number): Repository {
  const { parameters, unlocked, roots = new RootMemory() } = known;
  const repositoryId = Buffer.from(parameters.id, 'hex');
  const sealing = unlocked ? { repositoryId, keys: unlocked.keys } : { repositoryId };
  return { store, parameters, level, sealing, roots, ...(unlocked ? { unlocked } : {}) };
}

/** The same for who wants to see what stands in the storage now, whatever was read before. */
export const readAnew = (repository: Repository): Repository => ({ ...repository, roots: new RootMemory() });

function refuseForeign(store: ObjectStore, { cluster, id }: RepositoryParameters, wanted: OpenOptions): void {
  if (wanted.cluster !== undefined && cluster !== wanted.cluster) {
    throw new HomarusError(
      'ForeignRepository',
      `${store.description} holds the repository of cluster "${cluster}", not of "${wanted.cluster}"`,
    );
  }
  if (wanted.id !== undefined && id !== wanted.id) {
    throw new HomarusError(
      'ForeignRepository',
      `${store.description} holds repository ${id}, but the operation works on repository ${wanted.id}`,
      { hint: 'Not all machines have the same storage in their configuration: make it the same everywhere.' },
    );
  }
}

async function unlockedIn(
  store: ObjectStore,
  { id, encryption }: RepositoryParameters,
  stored: Buffer,
  options: OpenOptions & { unlocked: Unlocked | undefined },
): Promise<Unlocked | undefined> {
  const { description } = store;
  if (encryption === null) {
    if (options.encryption === undefined) return undefined;
    throw new HomarusError(
      'KeyWrong',
      `${description} holds a repository that is not encrypted, and a key is configured for it`,
      {
        hint: 'If nobody put another in its place, remove "encryption" of the storage; or make an encrypted one elsewhere.',
      },
    );
  }
  let { unlocked } = options;
  if (unlocked === undefined) {
    if (options.encryption === undefined) {
      throw new HomarusError(
        'KeyMissing',
        `${description} holds an encrypted repository, and no key is configured for it`,
      );
    }
    unlocked = await unlock(store, id, options.encryption, options);
  }
  if (blake3.hash([stored]).equals(unlocked.parameters)) return unlocked;
  throw new HomarusError(
    'ObjectDamaged',
    `${REPOSITORY_KEY} in ${description} is not what its key slots were made for`,
  );
}

function parseParameters(store: ObjectStore, bytes: Buffer): RepositoryParameters {
  let parameters: RepositoryParameters;
  try {
    parameters = JSON.parse(bytes.toString('utf8')) as RepositoryParameters;
  } catch (cause) {
    throw new HomarusError('ObjectDamaged', `${REPOSITORY_KEY} in ${store.description} is not JSON`, { cause });
  }
  if (
    !knownVersions.has(parameters?.version) ||
    parameters.chunker?.kind !== 'fixed' ||
    (parameters.encryption !== null && parameters.encryption?.cipher !== 'aes-256-gcm')
  ) {
    throw new HomarusError(
      'RepositoryIncompatible',
      `${store.description}: ${REPOSITORY_KEY} has version ${parameters?.version}, chunker ${parameters?.chunker?.kind}, ` +
        `encryption ${parameters?.encryption?.cipher ?? 'none'}; this homarus reads version 1, fixed, none or aes-256-gcm`,
    );
  }
  const { size, minimum, inline } = parameters.chunker;
  const fault =
    parametersShape(parameters, '') ??
    (size > 0 && minimum > 0 && minimum <= size && size <= MAX_BLOCK_BYTES && inline <= minimum
      ? undefined
      : 'chunker contradicts itself');
  if (fault !== undefined) {
    throw new HomarusError('ObjectDamaged', `${REPOSITORY_KEY} in ${store.description} is damaged: ${fault}`);
  }
  return parameters;
}

/** A key of what only a repository in use has. */
export async function firstObject(
  { store }: Pick<Repository, 'store'>,
  options: CallOptions = {},
): Promise<string | undefined> {
  for (const prefix of ['roots/', 'manifests/', 'packs/']) {
    for await (const { key } of store.list(prefix, options)) return key;
  }
  return undefined;
}

export function lostParameters(store: ObjectStore, found: string): HomarusError {
  return new HomarusError('ObjectMissing', `${store.description} holds ${found}, but no ${REPOSITORY_KEY}`, {
    hint: `Put ${REPOSITORY_KEY} back, "homarus repair" needs it; or use another prefix or path.`,
  });
}

/** A JSON document of one kind, as an object's bytes. */
export function sealJson(repository: Repository, place: BlockPlace, document: unknown): Buffer {
  return sealObject(repository.sealing, place, Buffer.from(JSON.stringify(document)), Math.max(repository.level, 1));
}

export function openJson(repository: Repository, place: BlockPlace, stored: Buffer): unknown {
  return parseJson(place, openObject(repository.sealing, place, stored));
}

export function parseJson(place: BlockPlace, content: Buffer): unknown {
  try {
    return JSON.parse(content.toString('utf8'));
  } catch (cause) {
    throw damaged(place, 'it is not JSON', cause);
  }
}

/** What an object of JSON holds; `ObjectDamaged` names the object and the first field that is not what it must be. */
export function checkedJson<T>(place: BlockPlace, document: unknown, shape: Shape): T {
  const fault = shape(document, '');
  if (fault !== undefined) throw damaged(place, fault);
  return document as T;
}

/** The stored bytes of an object; `ObjectMissing` when it is not there. */
export async function readObject(repository: Repository, kind: ObjectKind, key: string, options?: CallOptions) {
  const stored = await repository.store.read(key, undefined, options);
  if (stored === undefined) throw missing(repository, kind, key);
  return stored;
}

export const missing = (repository: Repository, kind: ObjectKind, key: string): HomarusError =>
  new HomarusError('ObjectMissing', `${kind} ${key} is missing in ${repository.store.description}`);
