import { readManifest } from '../../src/storage/backups.ts';
import { ChunkIndex } from '../../src/storage/chunkIndex.ts';
import { ChunkReader } from '../../src/storage/chunkReader.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';

/** What the streams of all backups hold, by the names of the backups; why not, where one cannot be read. */
export async function readAll(repository: Repository): Promise<Record<string, string[] | string>> {
  const { root } = await presentRoot(repository);
  const all: Record<string, string[] | string> = {};
  const indexes: ChunkIndex[] = [];
  for (const ref of root.indexes) {
    const index = await ChunkIndex.open(repository, ref).catch((error: Error) => error);
    if (index instanceof ChunkIndex) indexes.push(index);
  }
  for (const entry of root.backups) {
    try {
      const { streams } = await readManifest(repository, entry);
      const reader = new ChunkReader(repository, indexes);
      const chunks = streams.flatMap(({ chunks: own }) => own);
      const contents = [];
      for (const { chunk, length } of chunks) contents.push((await reader.read(chunk, length)).toString('latin1'));
      all[entry.name] = contents;
    } catch (error) {
      all[entry.name] = (error as Error).message;
    }
  }
  return all;
}
