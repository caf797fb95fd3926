import type { BackupEntry, Holder, IndexRef, Manifest, ManifestNode } from '../../src/domain/documents.ts';
import { keys } from '../../src/domain/documents.ts';
import type { CleanupResult } from '../../src/domain/results.ts';
import { readManifest, writeManifest } from '../../src/storage/backups.ts';
import { ChunkIndex, writeIndex } from '../../src/storage/chunkIndex.ts';
import { ChunkReader } from '../../src/storage/chunkReader.ts';
import type { CleanUpOptions } from '../../src/storage/cleanUp.ts';
import { cleanUp } from '../../src/storage/cleanUp.ts';
import type { CreateOptions } from '../../src/storage/create.ts';
import { createRepository } from '../../src/storage/create.ts';
import { newId, newPackId } from '../../src/storage/ids.ts';
import { acquireLock, released } from '../../src/storage/lock.ts';
import type { PackRef } from '../../src/storage/pack.ts';
import { ENTRY_BYTES, PackBuilder } from '../../src/storage/pack.ts';
import type { Repository } from '../../src/storage/repository.ts';
import type { CommitOptions, RootAt } from '../../src/storage/roots.ts';
import { commit, presentRoot } from '../../src/storage/roots.ts';
import { nameChunk } from '../../src/storage/sealing.ts';
import { ScriptedStore } from './scripted.ts';

process.env.HOMARUS_TEST_PASSPHRASE = 'correct horse battery staple';
/** What opens an encrypted repository of a test, and a cost of it that tests can pay. */
export const encrypted = {
  encryption: { passphraseEnv: 'HOMARUS_TEST_PASSPHRASE' },
  scrypt: { n: 16, r: 1, p: 1 },
} as const;

/** A new repository of cluster "east" in memory, with what its creation asked of the store forgotten. */
export async function givenRepository(
  options: Partial<CreateOptions> = {},
): Promise<{ store: ScriptedStore; repository: Repository; at: RootAt }> {
  const store = new ScriptedStore();
  const { repository, at } = await createRepository(store, { cluster: 'east', ...options });
  store.calls.length = 0;
  return { store, repository, at };
}

export const holderOf = (operation: string, attempt = 1): Holder => ({
  operation,
  run: `${operation}/${attempt}`,
  kind: 'backup',
  by: 'cron',
  since: `2025-01-01T00:00:0${attempt}.000Z`,
  ttl: 120_000,
});

export const backupOf = (name: string, epoch: number): BackupEntry => ({
  name,
  id: `${String(epoch).padStart(16, '0')}-${Buffer.from(name).toString('hex').padStart(16, '0').slice(-16)}`,
  manifest: { length: 1, hash: '00' },
  kind: 'full',
  epoch,
  started: '2025-01-01T00:00:00.000Z',
  finished: '2025-01-01T00:01:00.000Z',
  label: '',
  plugin: 'files',
  nodes: 3,
  files: 1,
  bytes: 1,
  added: 1,
  stored: 1,
});

/** A pack of these contents (one byte for each character), stored, and its index entries. */
export async function givenPack(
  repository: Repository,
  epoch: number,
  contents: readonly string[],
): Promise<{ pack: PackRef; entries: Buffer }> {
  const id = newPackId(epoch);
  const builder = new PackBuilder(repository.sealing, id, { block: 64, level: 1 });
  for (const content of contents) builder.add(chunkOf(content, repository), Buffer.from(content, 'latin1'));
  const { pack, body, entries } = builder.finish();
  await repository.store.create(keys.pack(id), body);
  return { pack, entries };
}

/** The chunk of this content; in an encrypted repository it has a name of its own. */
export const chunkOf = (content: string, repository?: Repository): Buffer =>
  nameChunk(repository?.sealing ?? { repositoryId: Buffer.alloc(16) }, Buffer.from(content, 'latin1'));

/** An index of some packs, stored. */
export function givenIndex(
  repository: Repository,
  epoch: number,
  packs: readonly { pack: PackRef; entries: Buffer }[],
): Promise<IndexRef> {
  const records: Buffer[] = [];
  for (const [place, { entries }] of packs.entries()) {
    for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
      const entry = Buffer.from(entries.subarray(at, at + ENTRY_BYTES));
      entry.writeUInt32LE(place, 32);
      records.push(entry);
    }
  }
  const sorted = Buffer.concat(records.sort(Buffer.compare));
  return writeIndex(
    repository,
    epoch,
    sorted.length > 0 ? [sorted] : [],
    packs.map(({ pack }) => pack),
  );
}

export interface GivenBackup {
  epoch: number;
  entry: BackupEntry;
  index: IndexRef | undefined;
  packs: PackRef[];
}

/**
 * What a backup does to the storage: takes the lock, stores one pack for each list of `packs`, an index and a manifest with
 * one stream of all `contents` (those of the packs unless given) beside its `nodes`, and commits. `dies` ends it before its commit.
 */
export async function givenBackup(
  repository: Repository,
  name: string,
  packs: readonly (readonly string[])[],
  options: { contents?: readonly string[]; nodes?: ManifestNode[]; dies?: boolean } = {},
): Promise<GivenBackup> {
  const { at, epoch } = await acquireLock(repository, { ...holderOf(name), ttl: 0 }, { nonce: `lock ${name}` });
  const stored = [];
  for (const contents of packs) stored.push(await givenPack(repository, epoch, contents));
  const index = stored.length > 0 ? await givenIndex(repository, epoch, stored) : undefined;
  const entry = { ...backupOf(name, epoch), id: newId(epoch) };
  const chunks = (options.contents ?? packs.flat()).map((content) => ({
    chunk: chunkOf(content, repository).toString('hex'),
    length: content.length,
  }));
  const manifest = {
    ...{ version: 1, repository: repository.parameters.id, cluster: 'east', name, id: entry.id, kind: 'full', epoch },
    ...{ label: '', started: entry.started, finished: entry.finished, attempt: 1 },
    plugin: { name: 'files', version: 1, data: null },
    nodes: options.nodes ?? [],
    streams: [{ name: 'all', chunks }],
    totals: { entries: 0, files: 0, bytes: 0 },
  } as Manifest;
  entry.manifest = await writeManifest(repository, manifest);
  if (!options.dies) {
    const outcome = await commit(
      repository,
      at,
      (draft) =>
        released({
          ...draft,
          backups: [...draft.backups, entry],
          indexes: index ? [...draft.indexes, index] : draft.indexes,
        }),
      `commit ${name}`,
    );
    if (outcome.result === 'lost') throw new Error(`${name} was lost`);
  }
  return { epoch, entry, index, packs: stored.map(({ pack }) => pack) };
}

/** A whole cleanup that removes these backups, as the activities do it. */
export async function removeBackups(
  repository: Repository,
  backups: readonly string[],
  { name, directory, ...options }: { name: string; directory: string } & Partial<CleanUpOptions & CommitOptions>,
): Promise<CleanupResult> {
  const holder = { ...holderOf(name), kind: 'cleanup', ttl: 0 } as const;
  const { at, epoch } = await acquireLock(repository, holder, { ...options, nonce: `lock ${name}` });
  const { id } = repository.parameters;
  const grant = { attempt: holder, storage: 'main', repository: id, epoch, root: at.root.number, ttl: 0 };
  const request = backups.length > 0 ? { backups: [...backups] } : {};
  return cleanUp(
    repository,
    { grant, nonce: name, request },
    { retention: {}, rewrite: { maxUnused: 0.05, maxRepackBytes: null }, directory, now: Date.now(), ...options },
  );
}

/** Reads all that the listed backups name, and verifies it. */
export async function readAll(repository: Repository): Promise<void> {
  const { root } = await presentRoot(repository);
  const indexes = await Promise.all(root.indexes.map((ref) => ChunkIndex.open(repository, ref)));
  const reader = new ChunkReader(repository, indexes);
  for (const entry of root.backups) {
    const { streams } = await readManifest(repository, entry);
    for (const { chunk, length } of streams.flatMap(({ chunks }) => chunks)) await reader.read(chunk, length);
  }
}
