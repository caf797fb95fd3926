import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { HASH_BYTES } from '../../src/storage/hash.ts';
import type { Holder, UploadPlan } from '../../src/storage/plan.ts';
import { CHUNK_RECORD_BYTES, planUploads } from '../../src/storage/plan.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'homarus-plan-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Chunk `number` has `number` in front of its hash, and a length of its own. */
function recordOf(number: number): Buffer {
  const record = Buffer.alloc(CHUNK_RECORD_BYTES);
  record.writeUInt32BE(number);
  record.writeUInt32LE(1_000 + number, HASH_BYTES);
  return record;
}

/** In batches of few records, so that they end anywhere. */
function holderOf(node: string, numbers: Iterable<number>, batch: number): Holder {
  const records = [...new Set(numbers)].sort((a, b) => a - b).map(recordOf);
  const batches = Array.from({ length: Math.ceil(records.length / batch) }, (_, place) =>
    Buffer.concat(records.slice(place * batch, (place + 1) * batch)),
  );
  return { node, chunks: batches };
}

function numbersOf(plan: UploadPlan): Map<string, number[]> {
  const numbers = (records: Iterable<Buffer>): number[] =>
    [...records].flatMap((batch) =>
      Array.from({ length: batch.length / CHUNK_RECORD_BYTES }, (_, place) => {
        const record = batch.subarray(place * CHUNK_RECORD_BYTES, (place + 1) * CHUNK_RECORD_BYTES);
        expect(record).toEqual(recordOf(record.readUInt32BE()));
        return record.readUInt32BE();
      }),
    );
  return new Map(plan.shares.map(({ node, records }) => [node, numbers(records)]));
}

test('each chunk is asked of one node that has it, and those that one node alone has of that one', async () => {
  const sets = fc.array(fc.uniqueArray(fc.nat(60)), { minLength: 1, maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(sets, fc.integer({ min: 1, max: 7 }), async (held, batch) => {
      const holders = held.map((numbers, place) => holderOf(`n${place}`, numbers, batch));
      const plan = await planUploads(holders, [], { directory });
      const shares = numbersOf(plan);
      plan.close();
      const asked = [...shares.values()].flat();
      expect(asked.toSorted((a, b) => a - b)).toEqual([...new Set(held.flat())].sort((a, b) => a - b));
      expect(plan.chunks).toBe(asked.length);
      expect(plan.bytes).toBe(asked.reduce((sum, number) => sum + 1_000 + number, 0));
      for (const [node, numbers] of shares) {
        const own = held[Number(node.slice(1))] as number[];
        expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
        expect(numbers.filter((number) => !own.includes(number))).toEqual([]);
      }
    }),
    { numRuns: 60 },
  );
});

test('what many nodes have alike is spread over them', async () => {
  const all = Array.from({ length: 300 }, (_, number) => number);
  const plan = await planUploads(
    ['n0', 'n1', 'n2'].map((node) => holderOf(node, all, 50)),
    [],
    { directory },
  );
  for (const [, numbers] of numbersOf(plan)) expect(numbers.length).toBeGreaterThan(80);
  plan.close();
});

test('a plan that does not fit in memory leaves no file open', async () => {
  const open = (): number => readdirSync('/proc/self/fd').length;
  const before = open();
  const all = Array.from({ length: 400_000 }, (_, number) => number);
  const plan = await planUploads([holderOf('n0', all, 100_000)], [], { directory });
  expect(plan.chunks).toBe(all.length);
  expect(open()).toBeGreaterThan(before);
  plan.close();
  expect(open()).toBe(before);
});
