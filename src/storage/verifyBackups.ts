import { join } from 'node:path';
import type { BackupEntry, Manifest, ManifestRoot, RootDocument, TreePage } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import { hasCode, isLoss } from '../domain/errors.ts';
import type { BackupState, Damage, Loss } from '../domain/results.ts';
import { printPath } from '../domain/text.ts';
import type { Reference } from './backupReferences.ts';
import { encodeReference, Owners, REFERENCE_BYTES, referenceGroups } from './backupReferences.ts';
import { readManifest } from './backups.ts';
import type { Joined } from './chunkIndex.ts';
import { joinIndexes } from './chunkIndex.ts';
import { ChunkReader } from './chunkReader.ts';
import { HASH_BYTES } from './hash.ts';
import type { CallOptions } from './objectStore.ts';
import { openReadable } from './openIndexes.ts';
import { RecordCursor, RecordSorter } from './records.ts';
import type { Repository } from './repository.ts';
import type { Row } from './tree.ts';
import { CHUNK_BYTES, decodeRows, pagesOf } from './tree.ts';
import { damageOf } from './verifyObjects.ts';

/** A chunk that a page needs: hash:32 length:u32 page:u32, where a page's number is that of its group of references. */
const NEED_BYTES = 40;
/** What of a group is lost: number:u32 (big-endian) hash:32; a hash of zeros is the page, or the stream's chunk, itself. */
const LOST_BYTES = 36;
const SORT_BYTES = 24 * 1024 * 1024;
const SMALL_SORT_BYTES = 2 * 1024 * 1024;
const PAGES_AT_ONCE = 8;
const KEPT_MANIFESTS = 16;
const ITSELF = Buffer.alloc(HASH_BYTES);

type Verified = Pick<RootDocument, 'backups' | 'indexes' | 'damaged'>;

export interface VerifyBackupsOptions extends CallOptions {
  /** For temporary files; they are removed. */
  directory: string;
  /** Told of every damaged object, of some more than once. */
  onDamage(damage: Damage): void;
  onLoss(loss: Loss): void;
}

export interface VerifiedBackups {
  states: BackupState[];
  /** That backups need, each counted once. */
  chunks: number;
}

/**
 * Verifies that every listed backup can be read: its manifest, the lists of its pages, its pages, and that each chunk that they
 * name is somewhere. What stands in a pack that `root` calls damaged is read to see whether it is lost. Memory grows with the
 * number of packs and backups alone.
 */
export async function verifyBackups(
  repository: Repository,
  root: Verified,
  options: VerifyBackupsOptions,
): Promise<VerifiedBackups> {
  const verification = new Verification(repository, root, options);
  try {
    return await verification.run();
  } finally {
    verification.close();
  }
}

class Verification {
  readonly #repository: Repository;
  readonly #root: Verified;
  readonly #options: VerifyBackupsOptions;
  readonly #references: RecordSorter;
  readonly #needs: RecordSorter;
  readonly #lost: RecordSorter;
  readonly #owners = new Owners();
  readonly #states: BackupState[];
  readonly #manifests = new Map<number, Promise<Manifest>>();
  #chunks = 0;

  constructor(repository: Repository, root: Verified, options: VerifyBackupsOptions) {
    this.#repository = repository;
    this.#root = root;
    this.#options = options;
    const sorter = (name: string, recordBytes: number, keyBytes: number, memoryBytes: number, unique = false) =>
      new RecordSorter({ directory: join(options.directory, name), recordBytes, keyBytes, memoryBytes, unique });
    this.#references = sorter('references', REFERENCE_BYTES, HASH_BYTES, SORT_BYTES);
    this.#needs = sorter('needs', NEED_BYTES, HASH_BYTES, SORT_BYTES);
    this.#lost = sorter('lost', LOST_BYTES, LOST_BYTES, SMALL_SORT_BYTES, true);
    this.#states = root.backups.map(({ name }) => ({ backup: name, state: 'whole', lostFiles: 0 }));
  }

  async run(): Promise<VerifiedBackups> {
    const indexes = await openReadable(this.#repository, this.#root, this.#options);
    const reader = new ChunkReader(this.#repository, indexes);
    for (const [number, entry] of this.#root.backups.entries()) await this.#manifest(reader, number, entry);
    const gone = await this.#missingPacks();
    await this.#pagesAndStreams(reader, gone);
    const last = Buffer.alloc(HASH_BYTES);
    for await (const joined of joinIndexes(this.#needs.sorted(), NEED_BYTES, indexes, this.#options)) {
      const { record } = joined;
      if (record.compare(last, 0, HASH_BYTES, 0, HASH_BYTES) !== 0) this.#chunks++;
      record.copy(last, 0, 0, HASH_BYTES);
      const number = record.readUInt32LE(HASH_BYTES + 4);
      if (await this.#isLost(reader, joined, gone)) this.#lost.add(lostOf(number, last));
    }
    await this.#losses(reader);
    return { states: this.#states, chunks: this.#chunks };
  }

  close(): void {
    for (const sorter of [this.#references, this.#needs, this.#lost]) sorter.close();
  }

  /** What the manifest names itself; all of the backup is lost when it cannot be read. */
  async #manifest(reader: ChunkReader, backup: number, entry: BackupEntry): Promise<void> {
    const key = keys.manifest(entry.name, entry.id);
    const damage = await damageOf('manifest', key, () => this.#manifestOf(backup));
    if (damage) {
      this.#options.onDamage(damage);
      this.#loses([backup], { node: '', root: '', path: null }, 'lost');
      return;
    }
    const { nodes, streams } = await this.#manifestOf(backup);
    for (const { name: stream, chunks } of streams) {
      const owner = this.#owners.numberOf({ node: '', root: '', stream });
      for (const [place, at] of chunks.entries())
        this.#references.add(encodeReference({ ...at, owner, backup, place }));
    }
    for (const { id: node, roots } of nodes) {
      for (const { name: root, tree } of roots) {
        const owner = this.#owners.numberOf({ node, root });
        const pages = await this.#pageList(reader, tree);
        if (pages === undefined) this.#loses([backup], { node, root, path: '', until: null }, 'damaged');
        for (const [place, { chunk, length }] of (pages ?? []).entries()) {
          this.#references.add(encodeReference({ chunk, length, owner, backup, place }));
        }
      }
    }
  }

  /** Undefined when it is lost. */
  async #pageList(reader: ChunkReader, tree: ManifestRoot['tree']): Promise<TreePage[] | undefined> {
    try {
      return await pagesOf(reader, tree, this.#options);
    } catch (error) {
      if (!isLoss(error)) throw error;
      if ('pageList' in tree) await this.#read(reader, tree.pageList.chunk, tree.pageList.length);
      return undefined;
    }
  }

  /** Reads each page once, looks for each chunk of a stream, and collects what the pages need. */
  async #pagesAndStreams(reader: ChunkReader, gone: ReadonlySet<string>): Promise<void> {
    const need = Buffer.alloc(NEED_BYTES);
    for await (const { number, content, isPage } of this.#contents(reader, gone)) {
      const rows = content && isPage ? rowsOf(content) : [];
      if (content === undefined || rows === undefined) {
        this.#lost.add(lostOf(number, ITSELF));
        continue;
      }
      need.writeUInt32LE(number, HASH_BYTES + 4);
      for (const { chunks } of rows) {
        if (!chunks) continue;
        for (let at = 0; at < chunks.length; at += CHUNK_BYTES) {
          chunks.copy(need, 0, at, at + CHUNK_BYTES);
          this.#needs.add(need);
        }
      }
    }
  }

  /** A few are under way at once. */
  async *#contents(
    reader: ChunkReader,
    gone: ReadonlySet<string>,
  ): AsyncGenerator<{ number: number; isPage: boolean; content: Buffer | undefined }> {
    const reading: { number: number; isPage: boolean; content: Promise<Buffer | undefined> }[] = [];
    try {
      for (const { number, references } of referenceGroups(this.#references.sorted())) {
        const [{ chunk, length }] = references as [Reference];
        this.#chunks++;
        const isPage = references.some(({ owner }) => this.#owners.at(owner).stream === undefined);
        const content = isPage ? this.#read(reader, chunk, length) : this.#stands(reader, chunk, length, gone);
        // Its failure is told when it is its turn.
        content.catch(() => undefined);
        reading.push({ number, isPage, content });
        if (reading.length < PAGES_AT_ONCE) continue;
        const next = reading.shift() as (typeof reading)[number];
        yield { ...next, content: await next.content };
      }
      for (const next of reading.splice(0)) yield { ...next, content: await next.content };
    } finally {
      await Promise.allSettled(reading.map(({ content }) => content));
    }
  }

  /** Undefined when it is lost; then the pack is damaged, if there is one. */
  async #read(reader: ChunkReader, chunk: Buffer | string, length: number): Promise<Buffer | undefined> {
    const { signal } = this.#options;
    try {
      return await reader.read(chunk, length, signal);
    } catch (error) {
      if (!isLoss(error)) throw error;
      const location = await reader.locate(chunk, signal);
      if (location) {
        const code = error.code as Damage['code'];
        this.#options.onDamage({ kind: 'pack', key: keys.pack(location.pack.id), code, reason: error.message });
      }
      return undefined;
    }
  }

  /** Like `#read`, but only what stands in a damaged pack is read: a stream may be long. */
  async #stands(
    reader: ChunkReader,
    chunk: string,
    length: number,
    gone: ReadonlySet<string>,
  ): Promise<Buffer | undefined> {
    const location = await reader.locate(chunk, this.#options.signal);
    if (location === undefined || location.length !== length || gone.has(location.pack.id)) return undefined;
    return location.damaged ? this.#read(reader, chunk, length) : ITSELF;
  }

  /** A chunk is lost when no index names it, its pack is gone, or it cannot be read from a pack that is damaged. */
  async #isLost(reader: ChunkReader, { record, location }: Joined, gone: ReadonlySet<string>): Promise<boolean> {
    const length = record.readUInt32LE(HASH_BYTES);
    if (location === undefined || location.length !== length || gone.has(location.pack.id)) return true;
    if (!location.damaged) return false;
    return (await this.#read(reader, Buffer.from(record.subarray(0, HASH_BYTES)), length)) === undefined;
  }

  async #missingPacks(): Promise<ReadonlySet<string>> {
    const gone = new Set<string>();
    for (const { kind, id } of this.#root.damaged) {
      if (kind === 'pack' && !(await this.#repository.store.stat(keys.pack(id), this.#options))) gone.add(id);
    }
    return gone;
  }

  /** Says what the lost chunks and pages cost. */
  async #losses(reader: ChunkReader): Promise<void> {
    const lost = new RecordCursor(this.#lost.sorted(), LOST_BYTES);
    let next = await lost.next();
    for (const { number, references } of referenceGroups(this.#references.sorted())) {
      if (next === undefined) return;
      const hashes = new Set<string>();
      for (; next?.readUInt32BE(0) === number; next = await lost.next()) hashes.add(next.toString('hex', 4));
      if (hashes.size === 0) continue;
      const [{ chunk, length }] = references as [Reference];
      const page = hashes.has(ITSELF.toString('hex')) ? undefined : await this.#read(reader, chunk, length);
      const paths = page && pathsWith(rowsOf(page) ?? [], hashes);
      for (const own of byOwner(references)) {
        const [first] = own as [Reference];
        const backups = [...new Set(own.map(({ backup }) => backup))];
        const { node, root, stream } = this.#owners.at(first.owner);
        if (stream !== undefined) this.#loses(backups, { node, root, path: `stream ${stream}` }, 'damaged');
        else if (paths === undefined) await this.#lostPage(reader, first, backups);
        else for (const path of paths) this.#loses(backups, { node, root, path }, 'damaged');
      }
    }
  }

  async #lostPage(reader: ChunkReader, { backup, owner, place }: Reference, backups: number[]): Promise<void> {
    const { node, root } = this.#owners.at(owner);
    const { nodes } = await this.#manifestOf(backup);
    const tree = nodes.find(({ id }) => id === node)?.roots.find(({ name }) => name === root)?.tree;
    const pages = tree ? await this.#pageList(reader, tree) : undefined;
    const path = firstOf(pages?.[place]) ?? '';
    this.#loses(backups, { node, root, path, until: firstOf(pages?.[place + 1]) }, 'damaged');
  }

  #loses(backups: readonly number[], loss: Omit<Loss, 'backups'>, state: BackupState['state']): void {
    const states = backups.map((number) => this.#states[number] as BackupState);
    for (const one of states) {
      if (loss.path !== null && loss.until === undefined) one.lostFiles++;
      if (one.state !== 'lost') one.state = state;
    }
    this.#options.onLoss({ backups: states.map(({ backup }) => backup), ...loss });
  }

  /** A few are kept: what is asked for is mostly one of the last. */
  #manifestOf(backup: number): Promise<Manifest> {
    const known = this.#manifests.get(backup);
    if (known) return known;
    const manifest = readManifest(this.#repository, this.#root.backups[backup] as BackupEntry, this.#options);
    manifest.catch(() => undefined);
    this.#manifests.set(backup, manifest);
    const [oldest] = this.#manifests.keys();
    if (this.#manifests.size > KEPT_MANIFESTS && oldest !== undefined) this.#manifests.delete(oldest);
    return manifest;
  }
}

function lostOf(group: number, hash: Buffer): Buffer {
  const record = Buffer.alloc(LOST_BYTES);
  record.writeUInt32BE(group);
  hash.copy(record, 4, 0, HASH_BYTES);
  return record;
}

/** Undefined for what is no page, though it is what was stored. */
function rowsOf(page: Buffer): Row[] | undefined {
  try {
    return [...decodeRows(page)];
  } catch (error) {
    if (hasCode(error, 'ObjectDamaged', 'UnsafePath')) return undefined;
    throw error;
  }
}

/** One page may stand in trees of several roots and nodes. */
function byOwner(references: readonly Reference[]): Reference[][] {
  const groups = new Map<number, Reference[]>();
  for (const reference of references) {
    const group = groups.get(reference.owner) ?? [];
    group.push(reference);
    groups.set(reference.owner, group);
  }
  return [...groups.values()];
}

/** The paths of the files that need one of these chunks, each once. */
function pathsWith(rows: readonly Row[], hashes: ReadonlySet<string>): Set<string> {
  const paths = new Set<string>();
  for (const { path, chunks } of rows) {
    for (let at = 0; chunks && at < chunks.length; at += CHUNK_BYTES) {
      if (hashes.has(chunks.toString('hex', at, at + HASH_BYTES))) {
        paths.add(printPath(Buffer.from(path, 'latin1').toString('utf8')));
        break;
      }
    }
  }
  return paths;
}

const firstOf = (page: TreePage | undefined): string | null =>
  page ? printPath(Buffer.from(page.first, 'base64').toString('utf8')) : null;
