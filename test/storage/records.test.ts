import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { cutLengths } from '../../src/storage/chunker.ts';
import { mergeRecords, RecordCursor, RecordSorter } from '../../src/storage/records.ts';

const RECORD = 12;
const KEY = 9;
/** Few different keys, so that many are alike, and some only in their last byte. */
const record = fc
  .tuple(fc.array(fc.constantFrom(0, 255), { minLength: 3, maxLength: 3 }), fc.nat(0xffffff))
  .map(([key, rest]) => {
    const [first = 0, middle = 0, last = 0] = key;
    return Buffer.from([first, 0, 0, 0, middle, 0, 0, 0, last, rest >> 16, (rest >> 8) & 255, rest & 255]);
  });
const records = fc.array(record, { maxLength: 300 });

const inOrder = (all: Buffer[]): Buffer[] =>
  all
    .map((one, place) => ({ one, place }))
    .sort((a, b) => a.one.compare(b.one, 0, KEY, 0, KEY) || a.place - b.place)
    .map(({ one }) => one);
const firstOfEach = (sorted: Buffer[]): Buffer[] =>
  sorted.filter((one, place) => place === 0 || !sorted[place - 1]!.subarray(0, KEY).equals(one.subarray(0, KEY)));
const split = (batch: Buffer): Buffer[] =>
  Array.from({ length: batch.length / RECORD }, (_, place) =>
    Buffer.from(batch.subarray(place * RECORD, (place + 1) * RECORD)),
  );

describe('the sorter', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'homarus-records-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  test('sorts by the bytes of the key and keeps what was added first first, in however little memory', () => {
    fc.assert(
      fc.property(records, fc.integer({ min: 1, max: 400 }), fc.boolean(), (all, held, unique) => {
        const sorter = new RecordSorter({
          directory: join(directory, 'runs'),
          recordBytes: RECORD,
          keyBytes: KEY,
          memoryBytes: held * (RECORD + 16),
          unique,
        });
        for (const one of all) sorter.add(one);
        const sorted = [...sorter.sorted()].flatMap(split);
        sorter.close();
        expect(sorted).toEqual(unique ? firstOfEach(inOrder(all)) : inOrder(all));
        expect(existsSync(join(directory, 'runs'))).toBe(false);
      }),
    );
  });

  test('leaves no file behind that a killed process would leave', () => {
    const sorter = new RecordSorter({ directory, recordBytes: RECORD, keyBytes: KEY, memoryBytes: 100 });
    for (let place = 0; place < 50; place++) sorter.add(Buffer.alloc(RECORD, place));
    expect(readdirSync(directory)).toEqual([]);
    sorter.close();
  });
});

test('merging sorted sources gives what sorting all would, whatever the batches', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(records, { maxLength: 4 }), fc.integer({ min: 1, max: 50 }), async (sources, batch) => {
      const batches = sources.map((all) => {
        const sorted = inOrder(all);
        return Array.from({ length: Math.ceil(sorted.length / batch) }, (_, place) =>
          Buffer.concat(sorted.slice(place * batch, (place + 1) * batch)),
        );
      });
      const merged: Buffer[] = [];
      for await (const part of mergeRecords(batches, RECORD, KEY)) merged.push(...split(part));
      expect(merged).toEqual(inOrder(sources.flat()));
    }),
  );
});

test('a batch that ends inside of a record is refused', async () => {
  await expect(new RecordCursor([Buffer.alloc(RECORD + 1)], RECORD).next()).rejects.toThrow(/no whole records/);
});

describe('the cuts of a file', () => {
  const cuts = { size: 8 * 1024 * 1024, minimum: 64 * 1024 };
  const sizes = fc.integer({ min: 0, max: 60 * 1024 * 1024 });

  test('fill it, and none is larger than a chunk may be', () => {
    fc.assert(
      fc.property(sizes, (size) => {
        const lengths = [...cutLengths(size, cuts)];
        expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(size);
        for (const length of lengths) expect(length > 0 && length <= cuts.size).toBe(true);
        expect(lengths.length).toBeLessThanOrEqual(size / cuts.size + 9);
      }),
    );
  });

  test('are powers of two behind whole chunks, down to the smallest, and then what is left', () => {
    const KiB = 1024;
    expect([...cutLengths(8_192 * KiB + 200 * KiB, cuts)]).toEqual([8_192, 128, 64, 8].map((size) => size * KiB));
    expect([...cutLengths(63 * KiB, cuts)]).toEqual([63 * KiB]);
    expect([...cutLengths(0, cuts)]).toEqual([]);
  });

  test('of a file that grew are the same but for the last few', () => {
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 10_000_000 }), (size, more) => {
        const [before, after] = [[...cutLengths(size, cuts)], [...cutLengths(size + more, cuts)]];
        const same = before.findIndex((length, place) => length !== after[place]);
        expect(same < 0 ? 0 : before.length - same).toBeLessThanOrEqual(9);
      }),
    );
  });
});
