import { join } from 'node:path';
import type { IndexRef, RootDocument } from '../domain/documents.ts';
import type { PackRef } from './chunkIndex.ts';
import { ENTRY_BYTES, writeIndex } from './chunkIndex.ts';
import { findOrphans } from './garbage.ts';
import { HASH_BYTES } from './hash.ts';
import type { CallOptions } from './objectStore.ts';
import { RecordSorter } from './records.ts';
import type { Repository } from './repository.ts';

/** An index of the packs that died backups left above the floor; null when there are none. */
export async function adoptOrphans(
  repository: Repository,
  root: RootDocument,
  epoch: number,
  options: CallOptions & { directory: string },
): Promise<IndexRef | null> {
  const packs: PackRef[] = [];
  const sorter = new RecordSorter({
    directory: join(options.directory, 'adopted'),
    recordBytes: ENTRY_BYTES,
    keyBytes: HASH_BYTES,
    unique: true,
  });
  try {
    for await (const { pack, entries } of findOrphans(repository, root, options)) {
      for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
        const entry = entries.subarray(at, at + ENTRY_BYTES);
        entry.writeUInt32LE(packs.length, HASH_BYTES);
        sorter.add(entry);
      }
      packs.push(pack);
    }
    return packs.length === 0 ? null : await writeIndex(repository, epoch, sorter.sorted(), packs, options);
  } finally {
    sorter.close();
  }
}
