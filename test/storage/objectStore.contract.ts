import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { HomarusError } from '../../src/domain/errors.ts';
import type { ListedObject, ObjectStore } from '../../src/storage/objectStore.ts';

export interface GivenStore {
  store: ObjectStore;
  /** Another one on the same place, as another process would have it. */
  other: ObjectStore;
  /** Opens a place of its own beside the first. */
  close(): Promise<void>;
}

/** What every store must do; each implementation runs it on the real thing. */
export function describeStore(name: string, given: () => Promise<GivenStore>, timeout = 20_000): void {
  describe(`the store ${name}`, () => {
    let store: ObjectStore;
    let other: ObjectStore;
    let close: () => Promise<void>;
    beforeEach(async () => {
      ({ store, other, close } = await given());
    }, timeout);
    afterEach(() => close(), timeout);
    const it = (title: string, body: () => Promise<void>): void => test(title, body, timeout);

    const all = async (prefix: string, after?: string): Promise<string[]> => {
      const keys: string[] = [];
      for await (const { key } of store.list(prefix, after === undefined ? {} : { after })) keys.push(key);
      return keys;
    };
    const text = async (key: string): Promise<string | undefined> => (await store.read(key))?.toString();

    it('gives back what was created, whole and in parts', async () => {
      const body = randomBytes(100_000);
      expect(await store.create('a/b', body)).toBe('created');
      expect(await other.read('a/b')).toEqual(body);
      expect(await store.read('a/b', { start: 10, length: 20 })).toEqual(body.subarray(10, 30));
      expect(await store.read('a/b', { start: 99_990, length: 20 })).toEqual(body.subarray(99_990));
    });

    it('stores an empty object', async () => {
      await store.create('empty', Buffer.alloc(0));
      expect(await store.read('empty')).toEqual(Buffer.alloc(0));
      expect(await store.stat('empty')).toMatchObject({ size: 0 });
    });

    it('creates from a stream of any length', async () => {
      const part = randomBytes(3_000_000);
      async function* parts(): AsyncGenerator<Buffer> {
        for (let count = 0; count < 12; count++) yield part;
      }
      expect(await store.create('streamed', parts())).toBe('created');
      const stored = await store.read('streamed');
      expect(stored?.length).toBe(36_000_000);
      expect(stored?.subarray(33_000_000).equals(part)).toBe(true);
      expect(await store.create('streamed', parts())).toBe('exists');
    });

    it('stores what is large, in one piece', async () => {
      const body = Buffer.alloc(64 * 1024 * 1024, randomBytes(1_000));
      expect(await store.create('large', body)).toBe('created');
      expect((await other.read('large'))?.equals(body)).toBe(true);
    });

    it('takes keys with every character that a key may have', async () => {
      const key = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ/abcdefghijklmnopqrstuvwxyz/0123456789/._~:+=@-';
      expect(await store.create(key, Buffer.from('x'))).toBe('created');
      expect(await text(key)).toBe('x');
      expect(await all('')).toEqual([key]);
      await store.remove([key]);
      expect(await all('')).toEqual([]);
    });

    it('leaves what is there when it is created again', async () => {
      await store.create('a', Buffer.from('first'));
      expect(await other.create('a', Buffer.from('second'))).toBe('exists');
      expect(await text('a')).toBe('first');
    });

    it('tells exactly one of racing creators that it created', async () => {
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, place) => (place % 2 ? store : other).create('race', Buffer.from(`${place}`))),
      );
      expect(answers.filter((answer) => answer === 'created').length).toBe(1);
      expect(await text('race')).toBe(`${answers.indexOf('created')}`);
    });

    it('shows nothing of a stream that fails', async () => {
      async function* failing(): AsyncGenerator<Buffer> {
        yield randomBytes(20_000_000);
        throw new Error('the source failed');
      }
      await expect(store.create('half', failing())).rejects.toThrow('the source failed');
      expect(await store.read('half')).toBeUndefined();
      expect(await all('')).toEqual([]);
    });

    it('overwrites where it is asked to', async () => {
      await store.overwrite('lease', Buffer.from('one'));
      await other.overwrite('lease', Buffer.from('two'));
      expect(await text('lease')).toBe('two');
    });

    it('answers undefined for what is missing', async () => {
      expect(await store.read('missing')).toBeUndefined();
      expect(await store.read('missing', { start: 0, length: 1 })).toBeUndefined();
      expect(await store.stat('missing')).toBeUndefined();
      expect(await all('missing')).toEqual([]);
    });

    it('lists in byte order what begins with a prefix and comes after a key, as soon as it was created', async () => {
      const keys = ['a/1', 'a/10', 'a/2', 'a-b', 'a~b', 'b/1', 'a/b/c'];
      for (const key of keys) await other.create(key, Buffer.from(key));
      expect(await all('')).toEqual([...keys].sort());
      expect(await all('a/')).toEqual(['a/1', 'a/10', 'a/2', 'a/b/c']);
      expect(await all('a')).toEqual(keys.filter((key) => key.startsWith('a')).sort());
      expect(await all('a/', 'a/10')).toEqual(['a/2', 'a/b/c']);
      const listed: ListedObject[] = [];
      for await (const object of store.list('a/10')) listed.push(object);
      expect(listed).toEqual([{ key: 'a/10', size: 4, modified: expect.any(Number) }]);
    });

    it('lists more keys than one page holds, each once and in order', async () => {
      const keys = Array.from({ length: 1_050 }, (_, place) => `k/${String(place).padStart(5, '0')}`);
      for (let from = 0; from < keys.length; from += 50) {
        await Promise.all(keys.slice(from, from + 50).map((key) => store.create(key, Buffer.from(key))));
      }
      expect(await all('k/')).toEqual(keys);
      expect(await all('k/', keys[1_000])).toEqual(keys.slice(1_001));
      expect(await store.remove(keys)).toEqual({ retained: [] });
      expect(await all('k/')).toEqual([]);
    });

    it('removes what is there, counts what is not as removed, and lists it no more', async () => {
      await store.create('x/1', Buffer.from('1'));
      await store.create('x/2', Buffer.from('2'));
      expect(await other.remove(['x/1', 'x/missing'])).toEqual({ retained: [] });
      expect(await all('x/')).toEqual(['x/2']);
      expect(await store.create('x/1', Buffer.from('again'))).toBe('created');
    });

    it('tells sizes and times by its own clock', async () => {
      const before = await store.now();
      await store.create('timed', Buffer.from('12345'));
      const stat = await other.stat('timed');
      expect(stat?.size).toBe(5);
      // Storages tell whole seconds.
      expect(stat?.modified).toBeGreaterThanOrEqual(Math.floor(before / 1000) * 1000 - 1000);
      expect(stat?.modified).toBeLessThanOrEqual((await store.now()) + 1000);
    });

    it('refuses keys that would leave its place', async () => {
      for (const key of ['', '/a', 'a/', 'a//b', '../a', 'a/./b', 'a b', 'ä', 'a\n', 'x'.repeat(600)]) {
        await expect((async () => store.create(key, Buffer.alloc(1)))()).rejects.toThrow(TypeError);
      }
    });

    it('does nothing once its signal is aborted', async () => {
      const signal = AbortSignal.abort(new Error('enough'));
      await expect(store.create('late', Buffer.from('x'), { signal })).rejects.toThrow();
      expect(await store.read('late')).toBeUndefined();
    });
  });
}

/** A writer that is told in the middle of an object that it may not: the object is not there, and nothing else is written. */
export async function expectEndedMidway(
  open: (mayWrite: () => void) => ObjectStore | Promise<ObjectStore>,
): Promise<void> {
  const lost = new HomarusError('LockLost', 'lost');
  let asked = 0;
  const store = await open(() => {
    if (++asked > 3) throw lost;
  });
  try {
    await store.create('before', Buffer.from('x'));
    await expect(store.create('midway', Buffer.alloc(4_000_000))).rejects.toBe(lost);
    await expect(store.create('after', Buffer.from('x'))).rejects.toBe(lost);
    await expect(store.overwrite('after', Buffer.from('x'))).rejects.toBe(lost);
    await expect(store.remove(['before'])).rejects.toBe(lost);
    const keys: string[] = [];
    for await (const { key } of store.list('')) keys.push(key);
    expect(keys).toEqual(['before']);
  } finally {
    await store.close();
  }
}
