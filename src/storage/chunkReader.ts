import { HomarusError } from '../domain/errors.ts';
import { damaged, openBlock } from './block.ts';
import type { ChunkIndex, Location } from './chunkIndex.ts';
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
    const location = await this.#locate(hash, signal);
    if (location === undefined) {
      const { description } = this.#repository.store;
      throw new HomarusError('ObjectMissing', `no index in ${description} names chunk ${hash.toString('hex')}`);
    }
    const block = await this.#block(location, signal);
    const content = block.subarray(location.inner, location.inner + location.length);
    if (content.length !== length || !nameChunk(this.#repository.sealing, content).equals(hash)) {
      throw damaged(packPlace(location.pack.id), `chunk ${hash.toString('hex')} is not what was stored`);
    }
    return content;
  }

  async #locate(hash: Buffer, signal?: AbortSignal): Promise<Location | undefined> {
    for (const index of this.#indexes) {
      const location = await index.find(hash, signal ? { signal } : {});
      if (location !== undefined) return location;
    }
    return undefined;
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
