import { decodeKeys, encodeKeys } from '../../src/plugins/etcd/dump.ts';
import type { KeyValue } from '../../src/plugins/etcd/keys.ts';
import type { EtcdAccess, EtcdOptions } from '../../src/plugins/etcd/options.ts';
import type { CoordinatorContext, Streams } from '../../src/plugins/module.ts';

/** Streams of one backup in memory, with a way to come in between their chunks. */
export class StreamsInMemory implements Streams {
  readonly #streams = new Map<string, Buffer[]>();
  /** After so many chunks of a stream. */
  onWrite: (chunks: number) => unknown = () => undefined;
  onRead: (chunks: number) => unknown = () => undefined;

  async write(name: string, source: AsyncIterable<Uint8Array>): Promise<{ bytes: number }> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const part of source) {
      chunks.push(Buffer.from(part));
      bytes += part.length;
      await this.onWrite(chunks.length);
    }
    this.#streams.set(name, chunks);
    return { bytes };
  }

  async *read(name: string): AsyncGenerator<Buffer> {
    let read = 0;
    for (const chunk of this.#streams.get(name) ?? []) {
      await this.onRead(++read);
      yield chunk;
    }
  }

  async put(name: string, keys: KeyValue[]): Promise<void> {
    await this.write(
      name,
      encodeKeys(
        (async function* () {
          yield* keys;
        })(),
      ),
    );
  }

  async keys(name: string): Promise<KeyValue[]> {
    const all: KeyValue[] = [];
    for await (const one of decodeKeys(this.read(name))) all.push(one);
    return all;
  }

  content(name: string): Buffer {
    return Buffer.concat(this.#streams.get(name) ?? []);
  }
}

export function etcdContext(
  options: EtcdAccess & Partial<EtcdOptions>,
  streams: Streams,
  operation: string,
  signal = new AbortController().signal,
): CoordinatorContext<EtcdOptions> {
  return {
    options: {
      ...{ prefixes: [''], leases: 'skip', member: false, include: [], exclude: [], onUnreadable: 'fail' },
      ...options,
    },
    cluster: 'east',
    nodes: [],
    operation,
    signal,
    log: () => undefined,
    failure: (message, more) => new Error(message, more),
    streams,
    backups: async () => [],
  };
}
