import { damaged, openBlock } from './block.ts';
import type { ChunkIndex, Location } from './chunkIndex.ts';
import { notNamed } from './chunkIndex.ts';
import { readRange } from './footer.ts';
import { packPlace, packSeal } from './pack.ts';
import type { Repository } from './repository.ts';
import { nameChunk } from './sealing.ts';

/** Opened blocks that are kept, bytes: pages of one tree stand in few blocks. */
const KEPT_BYTES = 32 * 1024 * 1024;

/** Single chunks by their hash: tree pages, page lists, small streams. Restores read whole packs instead. */
export class ChunkReader {
  readonly #repository: Repository;
  readonly #indexes: readonly ChunkIndex[];
  readonly #blocks = new Map<string, Promise<Buffer>>();
  #kept = 0;

  constructor(repository: Repository, indexes: readonly ChunkIndex[]) {
    this.#repository = repository;
    this.#indexes = indexes;
  }

  /** `ObjectMissing` when no index names the chunk or its pack is gone; `ObjectDamaged` when it is not what was stored. */
  async read(chunk: Buffer | string, length: number, signal?: AbortSignal): Promise<Buffer> {
    const hash = typeof chunk === 'string' ? Buffer.from(chunk, 'hex') : chunk;
    const location = await this.locate(hash, signal);
    if (location === undefined) {
      throw notNamed(this.#indexes, `chunk ${hash.toString('hex')}`, this.#repository.store.description);
    }
    const block = await this.#block(location, signal);
    const content = block.subarray(location.inner, location.inner + location.length);
    if (content.length !== length || !nameChunk(this.#repository.sealing, content).equals(hash)) {
      throw damaged(packPlace(location.pack.id), `chunk ${hash.toString('hex')} is not what was stored`);
    }
    return content;
  }

  /** Where the chunk is read from: a whole pack, if one has it. */
  async locate(chunk: Buffer | string, signal?: AbortSignal): Promise<Location | undefined> {
    const hash = typeof chunk === 'string' ? Buffer.from(chunk, 'hex') : chunk;
    let found: Location | undefined;
    for (const index of this.#indexes) {
      const location = await index.find(hash, signal ? { signal } : {});
      if (location !== undefined && !location.damaged) return location;
      found ??= location;
    }
    return found;
  }

  async #block(location: Location, signal?: AbortSignal): Promise<Buffer> {
    const key = `${location.pack.id}@${location.offset}`;
    const known = this.#blocks.get(key);
    if (known !== undefined) return known;
    const reading = this.#readBlock(location, signal);
    this.#blocks.set(key, reading);
    try {
      const block = await reading;
      this.#kept += block.length;
      for (const [oldest, other] of this.#blocks) {
        if (this.#kept <= KEPT_BYTES || oldest === key) break;
        this.#blocks.delete(oldest);
        this.#kept -= (await other).length;
      }
      return block;
    } catch (error) {
      this.#blocks.delete(key);
      throw error;
    }
  }

  async #readBlock({ pack, offset, stored }: Location, signal?: AbortSignal): Promise<Buffer> {
    const seal = packSeal(this.#repository.sealing, pack);
    const bytes = await readRange(this.#repository, seal.place, offset, stored, signal ? { signal } : {});
    return openBlock(seal, offset, bytes);
  }
}
