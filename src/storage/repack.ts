import { join } from 'node:path';
import { keys } from '../domain/documents.ts';
import { type HomarusError, hasCode } from '../domain/errors.ts';
import { ENTRY_BYTES } from './chunkIndex.ts';
import { readRange } from './footer.ts';
import { asBuffer, HASH_BYTES } from './hash.ts';
import { newPackId } from './ids.ts';
import type { IndexUnion } from './indexUnion.ts';
import { inOrder } from './inOrder.ts';
import type { CallOptions } from './objectStore.ts';
import type { PackRef } from './pack.ts';
import { packPlace, readEntry } from './pack.ts';
import type { PackRange } from './packRanges.ts';
import { cutRanges, encodePlace, PLACE_BYTES, PLACE_KEY_BYTES } from './packRanges.ts';
import type { PackUse } from './packUse.ts';
import type { OpenedChunks, PackWork } from './packWork.ts';
import { inThisThread } from './packWork.ts';
import { CHUNK_RECORD_BYTES } from './plan.ts';
import { RecordSorter } from './records.ts';
import type { Repository } from './repository.ts';

export interface RepackInput {
  union: IndexUnion;
  /** Packs, by their numbers in the union; and those without anything used, which go, too. */
  packs: ReadonlySet<number>;
  dropped: ReadonlySet<number>;
  /** By the number of its entry in the union: what is not used is left behind. */
  isUsed: (chunk: number) => boolean;
  /** That of the lock's holder. */
  epoch: number;
}

export interface RepackOptions extends CallOptions {
  /** For temporary files. */
  directory: string;
  work?: PackWork;
  /** Bytes of the old packs that were read, and how many there are. */
  onProgress?: (done: number, total: number) => void;
}

export interface Repacked {
  /** The new packs. */
  uses: PackUse[];
  /** Their entries, sorted, for `indexesWithout`; packs are numbered as in `uses`. To be closed. */
  entries: RecordSorter;
  /** Ids of the old packs of which everything used stands in new ones. */
  moved: Set<string>;
  /** Packs of which something did not verify: they are to stay. */
  damaged: { id: string; why: string }[];
}

const SORT_BYTES = 16 * 1024 * 1024;
const RANGES_AT_ONCE = 3;
const PACKS_AT_ONCE = 2;

/**
 * Rewrites what is used of some packs into new ones, which nothing names yet: `indexesWithout` makes the indexes, a commit
 * that leaves the old packs out makes it so. Every chunk is verified on its way; nothing that does not verify is written,
 * and its pack is not among `moved`. Memory: a few packs.
 */
export async function repack(repository: Repository, input: RepackInput, options: RepackOptions): Promise<Repacked> {
  const { packs: old } = input.union;
  const sorter = (name: string, recordBytes: number, keyBytes: number): RecordSorter =>
    new RecordSorter({
      directory: join(options.directory, name),
      ...{ recordBytes, keyBytes, memoryBytes: SORT_BYTES, unique: true },
    });
  const places = sorter('to-move', PLACE_BYTES, PLACE_KEY_BYTES);
  const entries = sorter('moved', ENTRY_BYTES, HASH_BYTES);
  const uses: PackUse[] = [];
  const damaged = new Map<string, string>();
  try {
    if (input.packs.size > 0) await findPlaces(input, places, options);
    const opened = openRanges(repository, cutRanges(places.sorted(), old), countRanges(places, old), damaged, options);
    const contents = cutContents(opened, repository.parameters.pack.size);
    const stored = inOrder(PACKS_AT_ONCE, contents, (parts) => storePack(repository, input.epoch, parts, options));
    for await (const { use, entries: own } of stored) {
      for (let at = 0; at < own.length; at += ENTRY_BYTES) {
        own.writeUInt32LE(uses.length, at + HASH_BYTES);
        entries.add(own.subarray(at, at + ENTRY_BYTES));
      }
      uses.push(use);
    }
    const moved = new Set([...input.packs].map((number) => (old[number] as PackRef).id));
    for (const id of damaged.keys()) moved.delete(id);
    return { uses, entries, moved, damaged: [...damaged].map(([id, why]) => ({ id, why })) };
  } catch (error) {
    entries.close();
    throw error;
  } finally {
    places.close();
  }
}

async function findPlaces(
  { union, packs, dropped, isUsed }: RepackInput,
  places: RecordSorter,
  options: CallOptions,
): Promise<void> {
  let number = 0;
  // What stands in a pack that stays, too, is not moved.
  for await (const batch of union.entries({ moved: packs, dropped })) {
    options.signal?.throwIfAborted();
    for (let at = 0; at < batch.length; at += ENTRY_BYTES, number++) {
      const { pack, ...place } = readEntry(batch, at);
      if (!packs.has(pack) || !isUsed(number)) continue;
      places.add(encodePlace(pack, { ...place, hash: batch.subarray(at, at + HASH_BYTES) }));
    }
  }
}

function countRanges(places: RecordSorter, packs: readonly PackRef[]): number {
  let bytes = 0;
  for (const { length } of cutRanges(places.sorted(), packs)) bytes += length;
  return bytes;
}

/** The verified chunks of the ranges, in their order. What could not be read is told in `damaged`. */
async function* openRanges(
  repository: Repository,
  ranges: Iterable<PackRange>,
  total: number,
  damaged: Map<string, string>,
  options: RepackOptions,
): AsyncGenerator<OpenedChunks> {
  const { work = inThisThread } = options;
  const open = async ({ pack, start, length, records }: PackRange) => {
    const { id } = pack;
    try {
      const stored = await readRange(repository, packPlace(id), start, length, options);
      const { sealing } = repository;
      return { id, length, opened: await work.openChunks({ sealing, pack, stored, start, places: records }) };
    } catch (error) {
      if (!hasCode(error, 'ObjectDamaged', 'ObjectMissing')) throw error;
      return { id, length, opened: undefined, damage: (error as HomarusError).message };
    }
  };
  let done = 0;
  for await (const { id, length, opened, damage = opened?.damage } of inOrder(RANGES_AT_ONCE, ranges, open)) {
    options.signal?.throwIfAborted();
    if (damage) damaged.set(id, damaged.get(id) ?? damage);
    if (opened && opened.chunks.length > 0) yield opened;
    done += length;
    options.onProgress?.(done, total);
  }
}

type Contents = Pick<OpenedChunks, 'content' | 'chunks'>;

/** What goes into one pack each: content of at most `size` bytes, or a single chunk. */
async function* cutContents(opened: AsyncIterable<OpenedChunks>, size: number): AsyncGenerator<Contents[]> {
  let parts: Contents[] = [];
  let bytes = 0;
  for await (const whole of opened) {
    let part: Contents = whole;
    for (let chunk = 0, from = 0; chunk < part.chunks.length; chunk += CHUNK_RECORD_BYTES) {
      const length = asBuffer(part.chunks).readUInt32LE(chunk + HASH_BYTES);
      if (bytes > 0 && bytes + length > size) {
        if (chunk > 0) parts.push(partOf(part, 0, chunk, 0, from));
        yield parts;
        part = partOf(part, chunk, part.chunks.length, from, part.content.length);
        parts = [];
        bytes = 0;
        chunk = 0;
        from = 0;
      }
      bytes += length;
      from += length;
    }
    parts.push(part);
  }
  if (parts.length > 0) yield parts;
}

/** Copied: each part has memory of its own, which may go to another thread. */
const partOf = (part: Contents, chunk: number, chunkEnd: number, from: number, end: number): Contents => ({
  chunks: part.chunks.slice(chunk, chunkEnd),
  content: part.content.slice(from, end),
});

async function storePack(
  repository: Repository,
  epoch: number,
  parts: Contents[],
  options: RepackOptions,
): Promise<{ use: PackUse; entries: Buffer }> {
  const { sealing, level, parameters } = repository;
  const id = newPackId(epoch);
  const { work = inThisThread } = options;
  const built = await work.buildPack({ sealing, id, block: parameters.pack.block, level, parts });
  await repository.store.create(keys.pack(id), built.body, options);
  const raw = parts.reduce((bytes, { content }) => bytes + content.length, 0);
  const { pack } = built;
  const use = { pack, chunks: pack.chunks, copies: 0, used: pack.length, unused: 0, raw };
  return { use, entries: asBuffer(built.entries) };
}
