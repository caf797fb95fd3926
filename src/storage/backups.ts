import { manifestShape } from '../domain/documentShapes.ts';
import type { BackupEntry, Manifest, RootDocument } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import { HomarusError, hasCode } from '../domain/errors.ts';
import { damaged } from './block.ts';
import { blake3 } from './hash.ts';
import type { CallOptions } from './objectStore.ts';
import type { Repository } from './repository.ts';
import { checkedJson, openJson, readObject, sealJson } from './repository.ts';
import type { RootAt } from './roots.ts';
import { presentRoot } from './roots.ts';

/** Manifests, and what readers without a lock do when a cleanup comes between. */

/** `started` (ISO 8601) to the second, e.g. `2025-01-31T04-05-06Z`; later by as many seconds as others have it. */
export function backupName(existing: readonly Pick<BackupEntry, 'name'>[], started: string): string {
  const taken = new Set(existing.map(({ name }) => name));
  for (let time = Date.parse(started); ; time += 1000) {
    const name = new Date(time)
      .toISOString()
      .replace(/\.\d+Z$/, 'Z')
      .replaceAll(':', '-');
    if (!taken.has(name)) return name;
  }
}

/** Stores a manifest; what its entry in the root says of it. What an earlier call stored under this id is what counts. */
export async function writeManifest(
  repository: Repository,
  manifest: Manifest,
  options: CallOptions = {},
): Promise<BackupEntry['manifest']> {
  const key = keys.manifest(manifest.name, manifest.id);
  const sealed = sealJson(repository, { kind: 'manifest', key }, manifest);
  const answer = await repository.store.create(key, sealed, options);
  const stored = answer === 'created' ? sealed : await readObject(repository, 'manifest', key, options);
  openJson(repository, { kind: 'manifest', key }, stored);
  return { length: stored.length, hash: hashOf(stored) };
}

/** `ObjectMissing`, `ObjectDamaged` when it is not what the root names, `RepositoryIncompatible` when it is newer. */
export async function readManifest(
  repository: Repository,
  entry: Pick<BackupEntry, 'name' | 'id' | 'manifest'>,
  options?: CallOptions,
): Promise<Manifest> {
  const place = { kind: 'manifest', key: keys.manifest(entry.name, entry.id) } as const;
  const stored = await readObject(repository, 'manifest', place.key, options);
  if (stored.length !== entry.manifest.length || hashOf(stored) !== entry.manifest.hash) {
    throw damaged(place, 'it is not the manifest that the root names');
  }
  const manifest = openJson(repository, place, stored) as Manifest;
  if (manifest?.version !== 1) {
    throw new HomarusError(
      'RepositoryIncompatible',
      `${place.key} has version ${manifest?.version}; this homarus reads version 1`,
    );
  }
  return checkedJson(place, manifest, manifestShape);
}

/**
 * Reads a backup without a lock: `work` by the root `at`, and again by newer ones as long as an object is missing and the
 * backup is still listed. `BackupRemoved` when it is not, `ObjectMissing` when the present root's object is missing.
 */
export async function readBackup<T>(
  repository: Repository,
  at: RootAt,
  name: string,
  work: (at: RootAt, entry: BackupEntry) => Promise<T>,
  options: CallOptions = {},
): Promise<T> {
  for (let now = at; ; ) {
    const entry = named(now.root, name);
    if (!entry) throw new HomarusError('BackupRemoved', `backup ${name} is not listed any more`);
    try {
      return await work(now, entry);
    } catch (error) {
      if (!hasCode(error, 'ObjectMissing')) throw error;
      const present = await presentRoot(repository, { ...options, cached: now });
      if (present === now) throw error;
      now = present;
    }
  }
}

/** A backup by its name, listed or set aside by a repair. */
export const named = ({ backups, aside = [] }: RootDocument, name: string): BackupEntry | undefined =>
  [...backups, ...aside].find((entry) => entry.name === name);

const hashOf = (stored: Buffer): string => blake3.hash([stored]).toString('hex');
