import { AsyncLocalStorage } from 'node:async_hooks';
import fs from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import type { ByteRange, CallOptions, ObjectStore } from '../../src/storage/objectStore.ts';
import { unreachable, wholeOf } from '../storage/scripted.ts';
import type { Watch } from './fileCalls.ts';

/** What becomes of the chosen mutation. */
export type Fate =
  /** It does not happen, nor does anything after it: the process was killed. Half of a write may have happened. */
  | 'stop'
  /** It happens, and the storage's answer is lost. */
  | 'lost answer'
  /** The storage refuses it, once. */
  | 'refused'
  /** There is no answer, and it happens when nobody waits for it any more (`Life.late`). */
  | 'late';

export interface Point {
  /** Number of the mutation, from 1. Of all, or of the storage's for fates that only a storage has. */
  at: number;
  fate: Fate;
}

const lives = new AsyncLocalStorage<Life>();
/** Each time another one: what waits for it can be forgotten. */
const never = (): Promise<never> => new Promise(() => undefined);

/** Thrown by file calls that block: whoever is stopped does nothing any more, not even in `finally`. */
class Stopped extends Error {}

/**
 * All processes of a cluster from their start to their end. Whatever runs in it counts its mutations, and ends at the
 * chosen one; what then still wants to change something cannot.
 */
export class Life {
  readonly #point: Point | undefined;
  readonly #files = new Set<number | FileHandle>();
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #died = Promise.withResolvers<'stopped'>();
  /** Mutations so far: of all kinds, and of the storage alone. */
  readonly counts = { all: 0, storage: 0 };
  /** Writes that are still on their way to the storage. */
  readonly late: (() => Promise<unknown>)[] = [];
  dead = false;
  /** What the chosen mutation was, for messages. */
  hit = 'nothing';

  constructor(point?: Point) {
    this.#point = point;
  }

  /** Runs `work` to its end, or to that of this life. */
  async run<T>(work: () => Promise<T>): Promise<{ ended: T } | 'stopped'> {
    const running = lives
      .run(this, async () => work())
      .then(
        (ended) => ({ ended }),
        (error: unknown) => {
          if (!this.dead) throw error;
          return 'stopped' as const;
        },
      );
    const answer = await Promise.race([running, this.#died.promise]);
    if (!this.dead) return answer;
    // What the system was told before the stop it still does; blocking code runs to where it waits.
    await Promise.allSettled(this.#underWay);
    await turn();
    for (const file of this.#files) {
      if (typeof file === 'number') fs.closeSync(file);
      else await file.close();
    }
    this.#files.clear();
    return 'stopped';
  }

  /** A mutation of the storage. */
  async storing<T>(what: string, perform: () => Promise<T>): Promise<T> {
    this.counts.storage++;
    const point = this.#point;
    if (!this.dead && point && point.fate !== 'stop' && point.at === this.counts.storage) {
      this.hit = what;
      if (point.fate === 'lost answer') await this.async(what, perform);
      if (point.fate === 'late') this.late.push(perform);
      throw unreachable();
    }
    return this.async(what, perform);
  }

  async async<T>(what: string, perform: () => Promise<T>, half?: () => Promise<unknown>): Promise<T> {
    if (this.dead) return never();
    if (this.#stopsAt(what)) {
      this.#die(half && this.#torn ? half() : undefined);
      return never();
    }
    const running = perform();
    this.#underWay.add(running);
    try {
      const answer = await running;
      return this.dead ? never() : answer;
    } catch (error) {
      if (this.dead) return never();
      throw error;
    } finally {
      this.#underWay.delete(running);
    }
  }

  sync<T>(what: string, perform: () => T, half?: () => void): T {
    if (this.dead) throw new Stopped();
    if (!this.#stopsAt(what)) return perform();
    if (this.#torn) half?.();
    this.#die();
    throw new Stopped(`stopped at ${what}`);
  }

  opened(file: number | FileHandle): void {
    this.#files.add(file);
  }

  closing(file: number | FileHandle): boolean {
    return this.#files.delete(file) || !this.dead;
  }

  get #torn(): boolean {
    return (this.#point?.at ?? 0) % 2 === 0;
  }

  #stopsAt(what: string): boolean {
    this.counts.all++;
    const stops = this.#point?.fate === 'stop' && this.#point.at === this.counts.all;
    if (stops) this.hit = what;
    return stops;
  }

  #die(half?: Promise<unknown>): void {
    this.dead = true;
    if (half) this.#underWay.add(half);
    this.#died.resolve('stopped');
  }
}

/** File calls belong to the life that makes them; those of the test itself to none. */
export const livesWatch: Watch = {
  noSync: true,
  sync(what, perform, half) {
    const life = lives.getStore();
    return life ? life.sync(what, perform, half) : perform();
  },
  async(what, perform, half) {
    const life = lives.getStore();
    return life ? life.async(what, perform, half) : perform();
  },
  opened: (file) => lives.getStore()?.opened(file),
  closing: (file) => lives.getStore()?.closing(file) ?? true,
};

/** A storage in memory as one life sees it. `now` is the test's clock. */
export function storeOf(life: Life, store: ObjectStore): ObjectStore {
  return {
    description: store.description,
    async create(key, body, options) {
      const bytes = await wholeOf(body);
      return life.storing(`create ${key}`, () => store.create(key, bytes, options));
    },
    overwrite: (key, body, options) => life.storing(`overwrite ${key}`, () => store.overwrite(key, body, options)),
    async remove(keys, options) {
      const retained: string[] = [];
      // A storage may be stopped in the middle of a batch, too.
      for (const key of keys) {
        retained.push(...(await life.storing(`remove ${key}`, () => store.remove([key], options))).retained);
      }
      return { retained };
    },
    removeUnfinished: (before, options) =>
      life.storing('removeUnfinished', () => store.removeUnfinished(before, options)),
    read: (key: string, range?: ByteRange, options?: CallOptions) =>
      life.dead ? never() : store.read(key, range, options),
    stat: (key, options) => (life.dead ? never() : store.stat(key, options)),
    list: (prefix, options) => store.list(prefix, options),
    now: () => (life.dead ? never() : store.now()),
    close: () => store.close(),
  };
}
