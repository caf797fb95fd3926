import { HomarusError } from '../domain/errors.ts';
import type { BlockPlace, ObjectKind } from './block.ts';
import { damaged, openObject, sealObject } from './block.ts';
import type { CallOptions, ObjectStore } from './objectStore.ts';
import type { Sealing } from './sealing.ts';

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
  encryption: null;
}

export const REPOSITORY_KEY = 'repository.json';

/** A store, and what is needed to read and write objects of one repository in it. */
export interface Repository {
  readonly store: ObjectStore;
  readonly parameters: RepositoryParameters;
  readonly sealing: Sealing;
  /** zstd level for what is written, 0 for none. */
  readonly level: number;
}

const knownVersions = new Set([1]);

/**
 * Opens the repository in `store`. `NoRepository` where there is none, `ForeignRepository` where it is another
 * cluster's (unless `cluster` is undefined: readers of any) or not the one with this `id`, `RepositoryIncompatible` where
 * it is newer than us.
 */
export async function openRepository(
  store: ObjectStore,
  options: CallOptions & { cluster?: string | undefined; id?: string | undefined; level?: number } = {},
): Promise<Repository> {
  const bytes = await store.read(REPOSITORY_KEY, undefined, options);
  if (bytes === undefined) throw new HomarusError('NoRepository', `${store.description} holds no repository`);
  const parameters = parseParameters(store, bytes);
  if (options.cluster !== undefined && parameters.cluster !== options.cluster) {
    throw new HomarusError(
      'ForeignRepository',
      `${store.description} holds the repository of cluster "${parameters.cluster}", not of "${options.cluster}"`,
    );
  }
  if (options.id !== undefined && parameters.id !== options.id) {
    throw new HomarusError(
      'ForeignRepository',
      `${store.description} holds repository ${parameters.id}, but the operation works on repository ${options.id}`,
      { hint: 'Not all machines have the same storage in their configuration: make it the same everywhere.' },
    );
  }
  return repositoryOf(store, parameters, options.level ?? 1);
}

export function repositoryOf(store: ObjectStore, parameters: RepositoryParameters, level: number): Repository {
  return { store, parameters, sealing: { repositoryId: Buffer.from(parameters.id, 'hex') }, level };
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
    parameters.encryption !== null
  ) {
    throw new HomarusError(
      'RepositoryIncompatible',
      `${store.description}: ${REPOSITORY_KEY} has version ${parameters?.version}, chunker ${parameters?.chunker?.kind}, ` +
        `encryption ${parameters?.encryption === null ? 'none' : 'unknown'}; this homarus reads version 1, fixed, none`,
    );
  }
  if (!/^[0-9a-f]{32}$/.test(parameters.id) || typeof parameters.cluster !== 'string') {
    throw new HomarusError('ObjectDamaged', `${REPOSITORY_KEY} in ${store.description} names no valid id and cluster`);
  }
  return parameters;
}

/** A JSON document of one kind, as an object's bytes. */
export function sealJson(repository: Repository, place: BlockPlace, document: unknown): Buffer {
  return sealObject(repository.sealing, place, Buffer.from(JSON.stringify(document)), Math.max(repository.level, 1));
}

export function openJson(repository: Repository, place: BlockPlace, stored: Buffer): unknown {
  const content = openObject(repository.sealing, place, stored);
  try {
    return JSON.parse(content.toString('utf8'));
  } catch (cause) {
    throw damaged(place, 'it is not JSON', cause);
  }
}

/** The stored bytes of an object; `ObjectMissing` when it is not there. */
export async function readObject(repository: Repository, kind: ObjectKind, key: string, options?: CallOptions) {
  const stored = await repository.store.read(key, undefined, options);
  if (stored === undefined) throw missing(repository, kind, key);
  return stored;
}

export const missing = (repository: Repository, kind: ObjectKind, key: string): HomarusError =>
  new HomarusError('ObjectMissing', `${kind} ${key} is missing in ${repository.store.description}`);
