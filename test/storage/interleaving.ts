import { setImmediate as turn } from 'node:timers/promises';
import type { ObjectStore } from '../../src/storage/objectStore.ts';
import { unreachable, wholeOf } from './scripted.ts';

/** A small search of interleavings: every call of a storage is a point at which somebody else may come first. */

/** Numbers from 0 to below 1, the same for the same seed (https://gist.github.com/tommyettinger/46a874533244883189143505d203312c). */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Of all writes so many in a hundred arrive, but their answer does not; and arrive when nobody waits for them any more. */
const LOST_ANSWERS = 5;
const LATE = 6;
/** Of all runs so many in a hundred are quick to change who is first; the others let one go far before another. */
const RESTLESS = 30;

interface Waiting {
  actor: string;
  goOn: () => void;
}

export class Interleaving {
  readonly random: () => number;
  readonly #ranks = new Map<string, number>();
  readonly #changes: number;
  readonly #waiting = new Set<Waiting>();
  readonly #unfinished = new Set<string>();
  #late = 0;
  /** Sleeps for ever, from this step on. */
  #sleeper: string | undefined;
  readonly trace: string[] = [];

  constructor(seed: number) {
    this.random = randomOf(seed);
    this.#changes = this.random() * 100 < RESTLESS ? 0.5 : 0.04;
  }

  /** Begins when `run` is called. */
  add(actor: string, work: () => Promise<void>): void {
    this.#unfinished.add(actor);
    const begun = this.#turn(actor);
    void begun.then(work).finally(() => this.#unfinished.delete(actor));
  }

  /** The storage as one actor sees it. */
  storeFor(actor: string, store: ObjectStore): ObjectStore {
    const call = async <T>(what: string, perform: () => Promise<T>): Promise<T> => {
      await this.#turn(actor);
      this.trace.push(`${actor}: ${what}`);
      return perform();
    };
    const write = <T>(what: string, perform: () => Promise<T>): Promise<T> =>
      call(what, async () => {
        const fate = this.random() * 100;
        if (fate < LOST_ANSWERS) await perform();
        else if (fate < LOST_ANSWERS + LATE) this.#later(`${actor}, late: ${what}`, perform);
        else return perform();
        this.trace.push(`${actor}: (no answer)`);
        throw unreachable();
      });
    return {
      description: store.description,
      async create(key, body) {
        const bytes = await wholeOf(body);
        return write(`create ${key}`, () => store.create(key, bytes));
      },
      overwrite: (key, body) => write(`overwrite ${key}`, () => store.overwrite(key, body)),
      remove: (keys) => write(`remove ${keys.join(' ')}`, () => store.remove(keys)),
      removeUnfinished: (before) => call('removeUnfinished', () => store.removeUnfinished(before)),
      read: (key, range) => call(`read ${key}`, () => store.read(key, range)),
      stat: (key) => call(`stat ${key}`, () => store.stat(key)),
      async *list(prefix, options) {
        yield* await call(`list ${prefix}`, () => collected(store.list(prefix, options)));
      },
      now: () => store.now(),
      close: async () => undefined,
    };
  }

  /** Lets one after another go on until all have ended or sleep for ever; `look` comes after each step. */
  async run(look: () => Promise<void>): Promise<void> {
    const sleeps = this.random() < 0.3 ? Math.floor(this.random() * 60) : undefined;
    for (let step = 0; ; step++) {
      const next = await this.#next();
      if (next === undefined) return;
      if (step === sleeps) this.#sleeper = next.actor;
      if (next.actor === this.#sleeper) continue;
      this.#waiting.delete(next);
      next.goOn();
      await turn();
      await look();
    }
  }

  #turn(actor: string): Promise<void> {
    return new Promise((goOn) => this.#waiting.add({ actor, goOn }));
  }

  #later(what: string, perform: () => Promise<unknown>): void {
    const actor = `late ${this.#late++}`;
    void this.#turn(actor).then(() => {
      this.trace.push(what);
      return perform();
    });
  }

  /** Waits until each one is at a call, sleeps or has ended, so that a seed says who comes first, and no disk does. */
  async #next(): Promise<Waiting | undefined> {
    for (;;) {
      const waiting = [...this.#waiting].filter(({ actor }) => actor !== this.#sleeper);
      const at = new Set(waiting.map(({ actor }) => actor));
      if ([...this.#unfinished].every((actor) => actor === this.#sleeper || at.has(actor))) {
        return waiting.length > 0 ? this.#choose(waiting) : undefined;
      }
      await turn();
    }
  }

  #choose(waiting: Waiting[]): Waiting {
    const rank = ({ actor }: Waiting): number => {
      const known = this.#ranks.get(actor) ?? this.random();
      this.#ranks.set(actor, known);
      return known;
    };
    const first = waiting.reduce((best, one) => (rank(one) > rank(best) ? one : best));
    // Who was first becomes the last for a while: that is how somebody sleeps at a bad moment.
    if (this.random() < this.#changes) this.#ranks.set(first.actor, this.random() * 0.5);
    return first;
  }
}

async function collected<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of source) all.push(one);
  return all;
}
