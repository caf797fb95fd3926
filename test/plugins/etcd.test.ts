import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { differences } from '../../src/plugins/etcd/difference.ts';
import { decodeKeys, encodeKeys } from '../../src/plugins/etcd/dump.ts';
import { type KeyValue, prefixRange, prefixRanges, shownKey } from '../../src/plugins/etcd/keys.ts';
import { checkedSnapshot } from '../../src/plugins/etcd/memberSnapshot.ts';

async function* from<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

async function listed<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const bytes = (max: number) => fc.uint8Array({ maxLength: max }).map((array) => Buffer.from(array));
const keyValues = fc
  .array(fc.record({ key: bytes(6), value: bytes(40), lease: fc.constantFrom(0n, 0n, 7n) }), { maxLength: 40 })
  .map(inOrder);

function inOrder(all: KeyValue[]): KeyValue[] {
  const byKey = new Map(all.map((one) => [one.key.toString('hex'), one]));
  return [...byKey.values()].sort((a, b) => Buffer.compare(a.key, b.key));
}

const plain = (all: KeyValue[]) =>
  all.map(({ key, value, lease }) => [key.toString('hex'), value.toString('hex'), lease]);

describe('a dump', () => {
  test('reads back as it was written, however it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(keyValues, fc.integer({ min: 1, max: 50 }), async (keys, cut) => {
        const all = Buffer.concat(await listed(encodeKeys(from(keys))));
        const pieces: Buffer[] = [];
        for (let at = 0; at < all.length; at += cut) pieces.push(all.subarray(at, at + cut));
        expect(plain(await listed(decodeKeys(from(pieces))))).toEqual(plain(keys));
      }),
    );
  });

  test('a changed value changes one chunk, an added key at most two', async () => {
    const many = (count: number): KeyValue[] =>
      Array.from({ length: count }, (_, n) => ({
        key: Buffer.from(`key-${String(n).padStart(6, '0')}`),
        value: Buffer.alloc(1000, n),
        lease: 0n,
      }));
    const chunks = async (keys: KeyValue[]): Promise<string[]> =>
      (await listed(encodeKeys(from(keys)))).map((chunk) => createHash('sha256').update(chunk).digest('hex'));
    const before = await chunks(many(20_000));
    expect(before.length).toBeGreaterThan(10);
    const changed = many(20_000);
    changed[9_000] = { ...changed[9_000]!, value: Buffer.alloc(1000, 99) };
    changed.splice(3_000, 0, { key: Buffer.from('key-002999-a'), value: Buffer.alloc(10), lease: 0n });
    const after = new Set(await chunks(changed));
    expect(before.filter((chunk) => !after.has(chunk)).length).toBeLessThanOrEqual(2);
  });

  test('one that ends within a key is refused', async () => {
    const [whole] = await listed(encodeKeys(from([{ key: Buffer.from('k'), value: Buffer.from('v'), lease: 0n }])));
    await expect(listed(decodeKeys(from([whole!.subarray(0, -1)])))).rejects.toMatchObject({ code: 'ObjectDamaged' });
  });
});

describe('a difference', () => {
  test('applied to what is there it gives what is wanted, leased keys aside, and then nothing is left of it', async () => {
    const except = Buffer.from([1, 2, 3]);
    await fc.assert(
      fc.asyncProperty(keyValues, keyValues, fc.boolean(), async (present, wanted, ignoreLeased) => {
        const options = { ignoreLeased, except };
        const state = new Map(present.map((one) => [one.key.toString('hex'), one]));
        for (const change of await listed(differences(from(present), from(wanted), options))) {
          expect(change.key).not.toEqual(except);
          if (change.kind === 'delete') state.delete(change.key.toString('hex'));
          else state.set(change.key.toString('hex'), { key: change.key, value: change.value, lease: 0n });
        }
        const after = inOrder([...state.values()]);
        expect(await listed(differences(from(after), from(wanted), options))).toEqual([]);
        const values = (all: KeyValue[]) =>
          plain(all.filter(({ key }) => !key.equals(except))).map((one) => one.slice(0, 2));
        const theirs = new Set(wanted.map(({ key }) => key.toString('hex')));
        const leased = ignoreLeased
          ? after.filter(({ key, lease }) => lease !== 0n && !theirs.has(key.toString('hex')))
          : [];
        expect(values(after)).toEqual(values(inOrder([...wanted, ...leased])));
      }),
    );
  });

  test('keys that are out of order are refused, not taken for missing', async () => {
    const one = (key: string): KeyValue => ({ key: Buffer.from(key), value: Buffer.alloc(0), lease: 0n });
    const wanted = from([one('b'), one('a')]);
    const options = { ignoreLeased: false, except: Buffer.from('x') };
    await expect(listed(differences(from<KeyValue>([]), wanted, options))).rejects.toMatchObject({
      code: 'ObjectDamaged',
    });
  });
});

describe('the range of a prefix', () => {
  test('holds exactly the keys that begin with it', () => {
    void fc.assert(
      fc.property(bytes(3), bytes(5), (prefix, key) => {
        fc.pre(key.length > 0);
        const { start, end } = prefixRange(prefix);
        const open = end.equals(Buffer.from([0]));
        const inside = Buffer.compare(key, start) >= 0 && (open || Buffer.compare(key, end) < 0);
        const all = prefix.length === 0;
        // The key of a single zero byte is the least that there is.
        expect(inside).toBe(
          all || key.subarray(0, prefix.length).equals(prefix) || (open && Buffer.compare(key, prefix) > 0),
        );
      }),
    );
  });

  test('several are in order, and those that another one covers are left out', () => {
    const ranges = prefixRanges([Buffer.from('b/'), Buffer.from('a/x'), Buffer.from('a/')]);
    expect(ranges.map(({ start, end }) => [`${start}`, `${end}`])).toEqual([
      ['a/', 'a0'],
      ['b/', 'b0'],
    ]);
    expect(prefixRanges([Buffer.from('a'), Buffer.from('')])).toHaveLength(1);
  });
});

test('keys are shown as text where they are some', () => {
  expect(shownKey(Buffer.from('registry/pods'))).toBe('registry/pods');
  expect(shownKey(Buffer.from([0xff, 0x00]))).toBe('0xff00');
  expect(shownKey(Buffer.from('a\u001b[2J'))).toBe(`0x${Buffer.from('a\u001b[2J').toString('hex')}`);
});

describe('the snapshot of a member', () => {
  const database = Buffer.from('a database of some length, longer than its hash');
  const whole = Buffer.concat([database, createHash('sha256').update(database).digest()]);
  const cut = (all: Buffer, size: number): Buffer[] =>
    Array.from({ length: Math.ceil(all.length / size) }, (_, place) => all.subarray(place * size, (place + 1) * size));

  test.each([1, 7, 31, 32, 33, 1000])(
    'is passed on and believed when its hash fits, in parts of %d bytes',
    async (size) => {
      let hash = '';
      const passed = await listed(
        checkedSnapshot(from(cut(whole, size)), 'm1', (sha256) => {
          hash = sha256;
        }),
      );
      expect(Buffer.concat(passed).equals(whole)).toBe(true);
      expect(hash).toBe(createHash('sha256').update(database).digest('hex'));
    },
  );

  test('is refused when a byte or its end is missing', async () => {
    for (const bad of [whole.subarray(1), whole.subarray(0, -1), Buffer.alloc(0)]) {
      await expect(listed(checkedSnapshot(from([bad]), 'm1', () => undefined))).rejects.toThrow('is not whole');
    }
  });
});
