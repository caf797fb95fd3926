import { FileStore } from './fileStore.ts';
import type { ByteRange, CallOptions, ListedObject, ObjectStat, ObjectStore } from './objectStore.ts';

/** A store to which nothing is written: what is created in it stands in a directory of its own, and is read from there. */
export class DryStore implements ObjectStore {
  readonly description: string;
  readonly #store: ObjectStore;
  readonly #beside: FileStore;

  constructor(store: ObjectStore, directory: string) {
    this.description = store.description;
    this.#store = store;
    this.#beside = new FileStore(directory);
  }

  async create(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options?: CallOptions,
  ): Promise<'created' | 'exists'> {
    return (await this.#store.stat(key, options)) ? 'exists' : this.#beside.create(key, body, options);
  }

  overwrite(key: string): Promise<void> {
    return Promise.reject(new Error(`nothing is overwritten in a dry run: ${key}`));
  }

  async read(key: string, range?: ByteRange, options?: CallOptions): Promise<Buffer | undefined> {
    return (await this.#beside.read(key, range, options)) ?? this.#store.read(key, range, options);
  }

  async stat(key: string, options?: CallOptions): Promise<ObjectStat | undefined> {
    return (await this.#beside.stat(key, options)) ?? this.#store.stat(key, options);
  }

  list(prefix: string, options?: CallOptions & { after?: string }): AsyncIterable<ListedObject> {
    return this.#store.list(prefix, options);
  }

  remove(keys: readonly string[]): Promise<{ retained: string[] }> {
    return Promise.reject(new Error(`nothing is removed in a dry run: ${keys.join(', ')}`));
  }

  async removeUnfinished(): Promise<number> {
    return 0;
  }

  now(): Promise<number> {
    return this.#store.now();
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}
