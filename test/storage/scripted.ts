import { HomarusError } from '../../src/domain/errors.ts';
import type { ByteRange, CallOptions, ListedObject, ObjectStat, ObjectStore } from '../../src/storage/objectStore.ts';
import { checkKey } from '../../src/storage/objectStore.ts';

export type Verb = 'create' | 'overwrite' | 'read' | 'stat' | 'list' | 'remove' | 'removeUnfinished' | 'now';

export interface Call {
  verb: Verb;
  /** The prefix of a listing, the first key of a removal. */
  key: string;
}

type Handler = (pass: () => unknown) => unknown;

/**
 * A store in memory with a clock that is set by hand, whose next calls a test can take into its hands: answer otherwise,
 * wait, or lose the answer.
 */
export class ScriptedStore implements ObjectStore {
  readonly description = 'memory';
  readonly objects = new Map<string, { body: Buffer; modified: number }>();
  readonly calls: Call[] = [];
  /** Grows with every change of the objects by a call. */
  changes = 0;
  /** Keys that an object lock holds back. */
  readonly retained = new Set<string>();
  clock = 1_700_000_000_000;
  unfinishedBefore: number | undefined;
  /** Comes before and after every call. */
  step: (call: Call) => Promise<void> = async () => {};
  #script: { fits: (call: Call) => boolean; handler: Handler }[] = [];

  /** The next `verb` whose key begins with `prefix` is handled by `handler`; `pass` does what the store would have done. */
  next(verb: Verb, prefix: string, handler: Handler): void {
    this.#script.push({ fits: (call) => call.verb === verb && call.key.startsWith(prefix), handler });
  }

  async create(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options: CallOptions = {},
  ): Promise<'created' | 'exists'> {
    checkKey(key);
    return this.#call('create', key, async () => {
      options.signal?.throwIfAborted();
      const whole = Buffer.from(await wholeOf(body));
      if (this.objects.has(key)) return 'exists';
      this.put(key, whole);
      return 'created';
    });
  }

  overwrite(key: string, body: Uint8Array): Promise<void> {
    return this.#call('overwrite', key, () => this.put(key, Buffer.from(body)));
  }

  read(key: string, range?: ByteRange): Promise<Buffer | undefined> {
    return this.#call('read', key, () => {
      const body = this.objects.get(key)?.body;
      if (body === undefined) return undefined;
      return Buffer.from(range ? body.subarray(range.start, range.start + range.length) : body);
    });
  }

  stat(key: string): Promise<ObjectStat | undefined> {
    return this.#call('stat', key, () => {
      const found = this.objects.get(key);
      return found && { size: found.body.length, modified: found.modified };
    });
  }

  async *list(prefix: string, options: { after?: string } = {}): AsyncGenerator<ListedObject> {
    const keys = await this.#call('list', prefix, () =>
      [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > (options.after ?? '')).sort(),
    );
    for (const key of keys) {
      const found = this.objects.get(key);
      if (found) yield { key, size: found.body.length, modified: found.modified };
    }
  }

  remove(keys: readonly string[]): Promise<{ retained: string[] }> {
    return this.#call('remove', keys[0] as string, () => {
      const retained = keys.filter((key) => this.retained.has(key));
      for (const key of keys) if (!this.retained.has(key)) this.objects.delete(key);
      this.changes++;
      return { retained };
    });
  }

  removeUnfinished(before: number): Promise<number> {
    return this.#call('removeUnfinished', '', () => {
      this.unfinishedBefore = before;
      return 0;
    });
  }

  now(): Promise<number> {
    return this.#call('now', '', () => this.clock);
  }

  async close(): Promise<void> {}

  put(key: string, body: Buffer): void {
    this.objects.set(key, { body, modified: this.clock });
    this.changes++;
  }

  keys(prefix: string): string[] {
    return [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
  }

  async #call<T>(verb: Verb, key: string, pass: () => T | Promise<T>): Promise<T> {
    const call = { verb, key };
    this.calls.push(call);
    await this.step(call);
    const place = this.#script.findIndex(({ fits }) => fits(call));
    const scripted = place < 0 ? undefined : this.#script.splice(place, 1)[0];
    const answer = scripted ? ((await scripted.handler(pass)) as T) : await pass();
    await this.step(call);
    return answer;
  }
}

export const unreachable = (): HomarusError => new HomarusError('StoreUnreachable', 'memory does not answer');

/** A body that is a stream can be had only once, and only while who sends it lives. */
export async function wholeOf(body: Uint8Array | AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  if (body instanceof Uint8Array) return body;
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}
