import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BackupEntry, ChunkAt, Manifest } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import { HomarusError } from '../domain/errors.ts';
import type { StorageGrant, StreamReceipt, UploadReceipt } from '../domain/operations.ts';
import { readBackup, readManifest } from './backups.ts';
import { cutLengths } from './chunker.ts';
import { ChunkIndex, ENTRY_BYTES, type PackRef } from './chunkIndex.ts';
import { ChunkReader } from './chunkReader.ts';
import { HASH_BYTES } from './hash.ts';
import { newPackId } from './ids.ts';
import { lockLost } from './lock.ts';
import type { CallOptions } from './objectStore.ts';
import { PackBuilder } from './pack.ts';
import { RecordSorter } from './records.ts';
import type { Repository } from './repository.ts';
import { presentRoot } from './roots.ts';
import { nameChunk } from './sealing.ts';
import { stageJson, stageRecords, stagingOf } from './staging.ts';

/** Streams: what a plugin stores that is no file, in chunks like one (docs/format.md, section 5). */

/** What becomes one chunk is held in memory: so long at most, bytes. */
const LONGEST_PART = 16 * 1024 * 1024;
const SORT_MEMORY = 4 * 1024 * 1024;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

export interface StreamInput {
  grant: StorageGrant;
  name: string;
  /** `given`: each part of the source is a chunk; `fixed`: cut as files are. */
  cuts: 'fixed' | 'given';
}

/**
 * Stores a stream's chunks that the indexes of the lock's root do not name, in packs of the attempt's epoch, and stages
 * its list of chunks. The commit indexes the packs like those of a node. Memory: a pack and a chunk.
 */
export async function writeStream(
  repository: Repository,
  { grant, name, cuts }: StreamInput,
  source: AsyncIterable<Uint8Array>,
  options: CallOptions & { directory: string },
): Promise<StreamReceipt> {
  if (!NAME.test(name)) throw new HomarusError('BadInput', `"${name}" is no name for a stream`);
  const planned = await presentRoot(repository, options);
  if (planned.root.number !== grant.root) throw lockLost(planned.root, grant.epoch);
  const { root } = planned;
  const indexes = await Promise.all(root.indexes.map((ref) => ChunkIndex.open(repository, ref, options)));
  const damaged = new Set(root.damaged.filter(({ kind }) => kind === 'pack').map(({ id }) => id));
  const isStored = async (hash: Buffer): Promise<boolean> => {
    for (const index of indexes) {
      const location = await index.find(hash, options);
      if (location !== undefined && !damaged.has(location.pack.id)) return true;
    }
    return false;
  };

  const directory = await mkdtemp(join(options.directory, 'stream-'));
  const packs = new Packs(repository, grant.epoch, directory, options);
  try {
    const chunks: ChunkAt[] = [];
    const own = new Set<string>();
    let bytes = 0;
    for await (const content of cuts === 'given' ? parts(name, source) : fixed(source, repository)) {
      options.signal?.throwIfAborted();
      const hash = nameChunk(repository.sealing, content);
      const chunk = hash.toString('hex');
      chunks.push({ chunk, length: content.length });
      bytes += content.length;
      if (own.has(chunk) || (await isStored(hash))) continue;
      own.add(chunk);
      await packs.add(hash, content);
    }
    const prefix = `${stagingOf(repository.sealing, { epoch: grant.epoch, operation: grant.attempt.operation })}streams/`;
    return {
      name,
      bytes,
      chunks: await stageJson(repository, `${prefix}chunks`, chunks, options),
      upload: await packs.finish(prefix),
    };
  } finally {
    packs.close();
    await rm(directory, { recursive: true, force: true });
  }
}

/** A stream's chunks, verified, in order. No lock is needed: a cleanup that moves them meanwhile is followed. */
export async function* readStream(
  repository: Repository,
  backup: Pick<BackupEntry, 'name'>,
  name: string,
  options: CallOptions = {},
): AsyncGenerator<Buffer> {
  let at = await presentRoot(repository, options);
  let reader: ChunkReader | undefined;
  let manifest: Manifest | undefined;
  const read = <T>(work: (reader: ChunkReader, manifest: Manifest) => Promise<T>): Promise<T> =>
    readBackup(
      repository,
      at,
      backup.name,
      async (now, entry) => {
        manifest ??= await readManifest(repository, entry, options);
        if (reader === undefined || now !== at) {
          const indexes = await Promise.all(now.root.indexes.map((ref) => ChunkIndex.open(repository, ref, options)));
          reader = new ChunkReader(repository, indexes);
          at = now;
        }
        return work(reader, manifest);
      },
      options,
    );
  const chunks = await read(async (_, { streams }) => {
    const stream = streams.find((one) => one.name === name);
    if (stream !== undefined) return stream.chunks;
    const has = streams.map((one) => one.name).join(', ') || 'none';
    throw new HomarusError('BadInput', `backup ${backup.name} has no stream "${name}"; it has ${has}`);
  });
  for (const { chunk, length } of chunks) yield await read((from) => from.read(chunk, length, options.signal));
}

/** Fills packs one after another. */
class Packs {
  readonly #repository: Repository;
  readonly #epoch: number;
  readonly #options: CallOptions;
  readonly #refs: PackRef[] = [];
  readonly #entries: RecordSorter;
  #open: PackBuilder | undefined;
  #bytes = 0;

  constructor(repository: Repository, epoch: number, directory: string, options: CallOptions) {
    this.#repository = repository;
    this.#epoch = epoch;
    this.#options = options;
    this.#entries = new RecordSorter({
      directory,
      recordBytes: ENTRY_BYTES,
      keyBytes: HASH_BYTES,
      memoryBytes: SORT_MEMORY,
    });
  }

  async add(hash: Buffer, content: Buffer): Promise<void> {
    const { sealing, level, parameters } = this.#repository;
    this.#open ??= new PackBuilder(sealing, newPackId(this.#epoch), { block: parameters.pack.block, level });
    this.#open.add(hash, content);
    this.#bytes += content.length;
    if (this.#open.rawBytes >= parameters.pack.size) await this.#store();
  }

  /** What the commit needs to index them; null when there are none. */
  async finish(prefix: string): Promise<UploadReceipt | null> {
    await this.#store();
    if (this.#refs.length === 0) return null;
    return {
      node: '',
      entries: await stageRecords(
        this.#repository,
        `${prefix}entries`,
        ENTRY_BYTES,
        this.#entries.sorted(),
        this.#options,
      ),
      packs: await stageJson(this.#repository, `${prefix}packs`, this.#refs, this.#options),
      packCount: this.#refs.length,
      chunks: this.#refs.reduce((sum, { chunks }) => sum + chunks, 0),
      bytes: this.#bytes,
      stored: this.#refs.reduce((sum, { length }) => sum + length, 0),
    };
  }

  close(): void {
    this.#entries.close();
  }

  async #store(): Promise<void> {
    if (this.#open === undefined) return;
    const { pack, body, entries } = this.#open.finish();
    this.#open = undefined;
    await this.#repository.store.create(keys.pack(pack.id), body, this.#options);
    for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
      const entry = entries.subarray(at, at + ENTRY_BYTES);
      entry.writeUInt32LE(this.#refs.length, HASH_BYTES);
      this.#entries.add(entry);
    }
    this.#refs.push(pack);
  }
}

async function* parts(name: string, source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const part of source) {
    if (part.length === 0) continue;
    if (part.length > LONGEST_PART) {
      throw new HomarusError(
        'BadInput',
        `stream ${name}: a part of ${part.length} bytes is longer than a chunk may be`,
      );
    }
    yield asBuffer(part);
  }
}

/** Whole pieces of the repository's size, and the rest cut as the rest of a file is. */
async function* fixed(source: AsyncIterable<Uint8Array>, { parameters }: Repository): AsyncGenerator<Buffer> {
  const { chunker } = parameters;
  let held: Buffer[] = [];
  let length = 0;
  for await (const part of source) {
    held.push(asBuffer(part));
    length += part.length;
    if (length < chunker.size) continue;
    let all = Buffer.concat(held, length);
    for (; all.length >= chunker.size; all = all.subarray(chunker.size)) yield all.subarray(0, chunker.size);
    held = [all];
    length = all.length;
  }
  let rest = Buffer.concat(held, length);
  for (const cut of cutLengths(rest.length, chunker)) {
    yield rest.subarray(0, cut);
    rest = rest.subarray(cut);
  }
}

const asBuffer = (part: Uint8Array): Buffer =>
  Buffer.isBuffer(part) ? part : Buffer.from(part.buffer, part.byteOffset, part.byteLength);
