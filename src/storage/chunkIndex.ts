import { indexFooter } from '../domain/documentShapes.ts';
import type { IndexRef } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import { HomarusError, isLoss } from '../domain/errors.ts';
import type { BlockPlace, ObjectSeal } from './block.ts';
import { damaged, newSeal, openBlock, sealBlock } from './block.ts';
import { readFooter, readRange, trailer } from './footer.ts';
import { blake3, HASH_BYTES } from './hash.ts';
import { newId } from './ids.ts';
import type { CallOptions } from './objectStore.ts';
import type { PackRef } from './pack.ts';
import { ENTRY_BYTES, readEntry } from './pack.ts';
import type { Batches } from './records.ts';
import { RecordCursor } from './records.ts';
import type { Repository } from './repository.ts';
import { checkedJson, parseJson } from './repository.ts';

export type { PackRef } from './pack.ts';
export { ENTRY_BYTES } from './pack.ts';

/** Indexes: docs/format.md, section 3. */

const PAGE_ENTRIES = 1260;
/** Pages that one request reads when all are needed. */
export const PAGES_PER_READ = 64;
/** Pages that are read ahead where one after another is asked for. */
const MOST_AHEAD = 16;
const KEPT_PAGES = 2 * MOST_AHEAD;

/** Where a chunk is. */
export interface Location {
  pack: PackRef;
  /** Block in the pack: place and length as stored, bytes. */
  offset: number;
  stored: number;
  /** Chunk in the block's content. */
  inner: number;
  length: number;
  /** The root calls the pack damaged: for readers that find the chunk nowhere else. */
  damaged?: true;
}

export interface OpenIndexOptions extends CallOptions {
  /** Ids of packs that the root calls damaged. */
  damaged?: ReadonlySet<string>;
  /** What cannot be read counts as empty; `failure` says so. */
  tolerant?: boolean;
}

interface PageRef {
  /** First hash, hex. */
  first: string;
  offset: number;
  stored: number;
  entries: number;
}

interface Footer {
  entries: number;
  packs: PackRef[];
  pages: PageRef[];
}

/** Of an index that could be read. */
interface Opened {
  seal: ObjectSeal;
  footer: Footer;
}

const NOTHING: Footer = { entries: 0, packs: [], pages: [] };

const indexPlace = (id: string): BlockPlace => ({ kind: 'index', key: keys.index(id) });

/** Writes an index as a stream. `entries`: sorted by hash, their pack field is the place in `packs`. */
export async function writeIndex(
  repository: Repository,
  epoch: number,
  entries: Batches,
  packs: readonly PackRef[],
  options: CallOptions = {},
): Promise<IndexRef> {
  const id = newId(epoch);
  const place = indexPlace(id);
  const footer: Footer = { entries: 0, packs: [...packs], pages: [] };
  const written = { length: 0, footer: 0, hash: '' };

  async function* body(): AsyncGenerator<Buffer> {
    const seal = newSeal(repository.sealing, place);
    let offset = seal.header.length;
    yield seal.header;
    for await (const page of pagesOf(entries)) {
      const stored = sealBlock(seal, offset, page, repository.level);
      const count = page.length / ENTRY_BYTES;
      footer.pages.push({ first: page.toString('hex', 0, HASH_BYTES), offset, stored: stored.length, entries: count });
      footer.entries += count;
      offset += stored.length;
      yield stored;
    }
    const content = Buffer.from(JSON.stringify(footer));
    const sealed = sealBlock(seal, offset, content, Math.max(repository.level, 1));
    yield sealed;
    yield trailer(sealed.length);
    written.length = offset + sealed.length + trailer(0).length;
    written.footer = sealed.length;
    written.hash = blake3.hash([sealed]).toString('hex');
  }

  await repository.store.create(place.key, body(), options);
  return { id, epoch, entries: footer.entries, ...written };
}

async function* pagesOf(entries: Batches): AsyncGenerator<Buffer> {
  const pageBytes = PAGE_ENTRIES * ENTRY_BYTES;
  let page = Buffer.allocUnsafe(pageBytes);
  let held = 0;
  for await (const batch of entries) {
    for (let at = 0; at < batch.length; ) {
      const taken = batch.copy(page, held, at, at + pageBytes - held);
      held += taken;
      at += taken;
      if (held < pageBytes) continue;
      yield page;
      page = Buffer.allocUnsafe(pageBytes);
      held = 0;
    }
  }
  if (held > 0) yield page.subarray(0, held);
}

/** An index that the root names; its footer is in memory, pages are read when needed. */
export class ChunkIndex {
  readonly #repository: Repository;
  /** Undefined when it could not be read. */
  readonly #opened: Opened | undefined;
  readonly #damaged: ReadonlySet<string>;
  readonly #tolerant: boolean;
  readonly ref: IndexRef;
  /** The pages that were read last. */
  readonly #kept = new Map<number, Promise<Buffer>>();
  /** How many pages the next read takes, and the page that it begins with if pages are read one after another. */
  #ahead = 1;
  #follows = -1;
  /** Of an index that was opened tolerantly: why a part of it counts as empty. */
  failure: HomarusError | undefined;

  private constructor(repository: Repository, ref: IndexRef, opened: Opened | undefined, options: OpenIndexOptions) {
    this.#repository = repository;
    this.#opened = opened;
    this.#damaged = options.damaged ?? new Set();
    this.#tolerant = options.tolerant ?? false;
    this.ref = ref;
  }

  /** `ObjectMissing`; `ObjectDamaged` unless its footer is the one that the root names. */
  static async open(repository: Repository, ref: IndexRef, options: OpenIndexOptions = {}): Promise<ChunkIndex> {
    try {
      return new ChunkIndex(repository, ref, await readIndexFooter(repository, ref, options), options);
    } catch (error) {
      if (!options.tolerant || !isLoss(error)) throw error;
      const index = new ChunkIndex(repository, ref, undefined, options);
      index.failure = error;
      return index;
    }
  }

  get #footer(): Footer {
    return this.#opened?.footer ?? NOTHING;
  }

  get packs(): readonly PackRef[] {
    return this.#footer.packs;
  }

  get pageCount(): number {
    return this.#footer.pages.length;
  }

  /** All entries in order, page by page. */
  async *pages(options: CallOptions = {}, perRead = PAGES_PER_READ): AsyncGenerator<Buffer> {
    for (let from = 0; from < this.pageCount; from += perRead) {
      yield* await this.#readPages(from, Math.min(from + perRead, this.pageCount), options);
    }
  }

  /** Number of the page that would hold `hash`, -1 when it sorts before all. */
  pageFor(hash: Buffer): number {
    const { pages } = this.#footer;
    const wanted = hash.toString('hex', 0, HASH_BYTES);
    let low = 0;
    let high = pages.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((pages[middle] as PageRef).first <= wanted) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  page(number: number, options: CallOptions = {}): Promise<Buffer> {
    const known = this.#kept.get(number);
    if (known) return known;
    this.#ahead = number === this.#follows ? Math.min(2 * this.#ahead, MOST_AHEAD) : 1;
    this.#follows = Math.min(number + this.#ahead, this.pageCount);
    const reading = this.#readAhead(number, this.#follows, options);
    for (let page = number; page < this.#follows; page++)
      this.#keep(
        page,
        reading.then((read) => read[page - number] as Buffer),
      );
    return this.#kept.get(number) as Promise<Buffer>;
  }

  #keep(number: number, page: Promise<Buffer>): void {
    this.#kept.set(number, page);
    // Whoever asks for it is told; it is asked for again then.
    page.catch(() => this.#kept.delete(number));
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= KEPT_PAGES) break;
      this.#kept.delete(oldest);
    }
  }

  async find(hash: Buffer, options: CallOptions = {}): Promise<Location | undefined> {
    const number = this.pageFor(hash);
    if (number < 0) return undefined;
    const entries = await this.page(number, options);
    const at = lowerBound(entries, hash);
    return at < entries.length && compareHash(entries, at, hash, 0) === 0 ? this.locationAt(entries, at) : undefined;
  }

  locationAt(entries: Buffer, at: number): Location {
    const { pack: number, ...place } = readEntry(entries, at);
    const pack = this.#footer.packs[number];
    if (pack === undefined) throw damaged(indexPlace(this.ref.id), 'an entry names a pack that it does not list');
    return this.#damaged.has(pack.id) ? { pack, ...place, damaged: true } : { pack, ...place };
  }

  async #readAhead(from: number, until: number, options: CallOptions): Promise<Buffer[]> {
    if (until === from + 1) return [await this.#onePage(from, options)];
    try {
      return await this.#readPages(from, until, options);
    } catch (error) {
      if (!this.#tolerant || !isLoss(error)) throw error;
      // One by one, so that only what is damaged counts as empty.
      const pages: Buffer[] = [];
      for (let number = from; number < until; number++) pages.push(await this.#onePage(number, options));
      return pages;
    }
  }

  async #onePage(number: number, options: CallOptions): Promise<Buffer> {
    try {
      const [entries] = await this.#readPages(number, number + 1, options);
      return entries as Buffer;
    } catch (error) {
      if (!this.#tolerant || !isLoss(error)) throw error;
      this.failure ??= error;
      return Buffer.alloc(0);
    }
  }

  async #readPages(from: number, until: number, options: CallOptions): Promise<Buffer[]> {
    const { seal, footer } = this.#opened as Opened;
    const refs = footer.pages.slice(from, until);
    const start = (refs[0] as PageRef).offset;
    const last = refs.at(-1) as PageRef;
    const bytes = await readRange(this.#repository, seal.place, start, last.offset + last.stored - start, options);
    return refs.map((ref) => {
      const stored = bytes.subarray(ref.offset - start, ref.offset - start + ref.stored);
      const entries = openBlock(seal, ref.offset, stored);
      if (entries.length !== ref.entries * ENTRY_BYTES) throw damaged(seal.place, 'a page has a wrong length');
      return entries;
    });
  }
}

async function readIndexFooter(repository: Repository, ref: IndexRef, options: CallOptions): Promise<Opened> {
  const place = indexPlace(ref.id);
  const { content, stored, seal } = await readFooter(repository, place, ref.length, options);
  if (blake3.hash([stored]).toString('hex') !== ref.hash)
    throw damaged(place, 'it is not the index that the root names');
  const footer = checkedJson<Footer>(place, parseJson(place, content), indexFooter);
  checkPages(place, footer, ref.length);
  return { seal, footer };
}

/** Why no index names a chunk: the loss of one of them where there is one. */
export function notNamed(indexes: readonly ChunkIndex[], what: string, description: string): HomarusError {
  const failure = indexes.find((index) => index.failure)?.failure;
  if (failure === undefined) return new HomarusError('ObjectMissing', `no index in ${description} names ${what}`);
  return new HomarusError(failure.code, `${failure.message}; no other index names ${what}`, { cause: failure });
}

/** Pages follow each other and are of a size that memory is taken for. */
function checkPages(place: BlockPlace, { pages, entries }: Footer, length: number): void {
  let end: number | undefined;
  let all = 0;
  for (const page of pages) {
    const fits = page.entries <= PAGE_ENTRIES && page.offset === (end ?? page.offset);
    end = page.offset + page.stored;
    all += page.entries;
    if (!fits || end > length) throw damaged(place, 'its footer contradicts itself');
  }
  if (all !== entries) throw damaged(place, 'its footer contradicts itself');
}

export interface Joined {
  record: Buffer;
  location: Location | undefined;
  /** The one that has it. */
  index: ChunkIndex | undefined;
}

/**
 * For each record (sorted, the hash in front) where its chunk is, if anywhere: in a pack that the root calls damaged only
 * where no other has it. Records are handed on as they are: valid
 * until the next is asked for. Pages that no record asks for are not read.
 */
export async function* joinIndexes(
  wanted: Batches,
  recordBytes: number,
  indexes: readonly ChunkIndex[],
  options: CallOptions = {},
): AsyncGenerator<Joined> {
  const cursor = new RecordCursor(wanted, recordBytes);
  const walks = indexes.map((index) => new Walk(index, options));
  for (let record = await cursor.next(); record !== undefined; record = await cursor.next()) {
    let found: Joined = { record, location: undefined, index: undefined };
    for (const walk of walks) {
      const location = walk.here(record) ?? (await walk.elsewhere(record));
      if (location === undefined || location === 'absent') continue;
      if (location.damaged && found.location) continue;
      found = { record, location, index: walk.index };
      if (!location.damaged) break;
    }
    yield found;
  }
}

/** Goes through one index in the order of the records. */
class Walk {
  readonly index: ChunkIndex;
  readonly #options: CallOptions;
  #number = -1;
  #entries: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(index: ChunkIndex, options: CallOptions) {
    this.index = index;
    this.#options = options;
  }

  /** The answer from the page at hand; undefined when another page is needed. */
  here(hash: Buffer): Location | 'absent' | undefined {
    while (this.#at < this.#entries.length) {
      const order = compareHash(this.#entries, this.#at, hash, 0);
      if (order === 0) return this.index.locationAt(this.#entries, this.#at);
      if (order > 0) return 'absent';
      this.#at += ENTRY_BYTES;
    }
    return undefined;
  }

  async elsewhere(hash: Buffer): Promise<Location | undefined> {
    const number = this.index.pageFor(hash);
    if (number < 0 || number === this.#number) return undefined;
    this.#entries = await this.index.page(number, this.#options);
    this.#number = number;
    this.#at = lowerBound(this.#entries, hash);
    const answer = this.here(hash);
    return answer === 'absent' ? undefined : answer;
  }
}

function lowerBound(entries: Buffer, hash: Buffer): number {
  let low = 0;
  let high = entries.length / ENTRY_BYTES;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareHash(entries, middle * ENTRY_BYTES, hash, 0) < 0) low = middle + 1;
    else high = middle;
  }
  return low * ENTRY_BYTES;
}

const compareHash = (a: Buffer, at: number, b: Buffer, bAt: number): number =>
  a.compare(b, bAt, bAt + HASH_BYTES, at, at + HASH_BYTES);
