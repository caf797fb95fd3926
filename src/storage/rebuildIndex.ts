import { join } from 'node:path';
import type { DamagedObject, IndexRef } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import { isLoss } from '../domain/errors.ts';
import type { PackRef } from './chunkIndex.ts';
import { ENTRY_BYTES, writeIndex } from './chunkIndex.ts';
import { HASH_BYTES } from './hash.ts';
import type { CallOptions } from './objectStore.ts';
import { openReadable } from './openIndexes.ts';
import { readPackFooter } from './pack.ts';
import { RecordSorter } from './records.ts';
import type { Remains } from './remains.ts';
import type { Repository } from './repository.ts';

export interface RebuiltIndex {
  /** Null when there is no pack. */
  index: IndexRef | null;
  packs: number;
  /** Packs without a footer that can be read, of which a former index still says what they hold. */
  damaged: DamagedObject[];
  /** Packs that the index does not hold whole, and why. */
  lost: { key: string; why: string }[];
}

/**
 * One index of all packs, from their footers. Of a pack whose footer cannot be read it takes what a former index says, and the
 * pack counts as damaged.
 */
export async function rebuildIndex(
  repository: Repository,
  remains: Remains,
  epoch: number,
  options: CallOptions & { directory: string },
): Promise<RebuiltIndex> {
  const rebuilt: RebuiltIndex = { index: null, packs: 0, damaged: [], lost: [] };
  const sorter = new RecordSorter({
    directory: join(options.directory, 'rebuilt'),
    recordBytes: ENTRY_BYTES,
    keyBytes: HASH_BYTES,
    unique: true,
  });
  const packs: PackRef[] = [];
  const add = (entry: Buffer, pack: number): void => {
    entry.writeUInt32LE(pack, HASH_BYTES);
    sorter.add(entry);
  };
  try {
    const unread = new Map<string, string>();
    for (const found of remains.packs) {
      try {
        const { pack, entries } = await readPackFooter(repository, found, options);
        for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
          add(entries.subarray(at, at + ENTRY_BYTES), packs.length);
        }
        packs.push(pack);
      } catch (error) {
        if (!isLoss(error)) throw error;
        unread.set(found.id, error.message);
      }
    }
    const there = new Set(remains.packs.map(({ id }) => id));
    const former = remains.lastRoot ? await openReadable(repository, remains.lastRoot.root, options) : [];
    for (const index of former) {
      const places = index.packs.map((pack) => {
        if (!there.has(pack.id))
          unread.set(pack.id, `pack ${keys.pack(pack.id)} is missing, though ${keys.index(index.ref.id)} names it`);
        if (!there.has(pack.id) || !unread.has(pack.id)) return undefined;
        const known = packs.findIndex(({ id }) => id === pack.id);
        return known < 0 ? packs.push(pack) - 1 : known;
      });
      if (places.every((place) => place === undefined)) continue;
      for (let number = 0; number < index.pageCount; number++) {
        const page = await index.page(number, options);
        for (let at = 0; at < page.length; at += ENTRY_BYTES) {
          const place = places[page.readUInt32LE(at + HASH_BYTES)];
          if (place !== undefined) add(Buffer.from(page.subarray(at, at + ENTRY_BYTES)), place);
        }
      }
    }
    rebuilt.damaged = packs.filter(({ id }) => unread.has(id)).map(({ id }) => ({ kind: 'pack', id }));
    rebuilt.lost = [...unread].map(([id, why]) => ({ key: keys.pack(id), why }));
    rebuilt.packs = packs.length;
    if (packs.length > 0) rebuilt.index = await writeIndex(repository, epoch, sorter.sorted(), packs, options);
    return rebuilt;
  } finally {
    sorter.close();
  }
}
