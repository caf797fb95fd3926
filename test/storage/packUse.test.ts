import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { PackUse } from '../../src/storage/packUse.ts';
import { isWasteful, packsToRewrite, spaceOf } from '../../src/storage/packUse.ts';

const SIZE = 1000;
let number = 0;
const packOf = (used: number, unused: number, raw = SIZE): PackUse => ({
  pack: { id: `p${++number}`, length: used + unused, footer: 10, chunks: 10 },
  chunks: used > 0 ? 5 : 0,
  copies: 0,
  used,
  unused,
  raw,
});
const noLimit = { maxUnused: 0.05, maxRepackBytes: null };

describe('the packs to rewrite', () => {
  test('are those with the largest unused share, as many as it takes', () => {
    const packs = [packOf(900, 100), packOf(200, 800), packOf(1000, 0), packOf(500, 500), packOf(990, 10)];
    expect(packsToRewrite(packs, SIZE, noLimit)).toEqual([packs[1], packs[3]]);
    expect(packsToRewrite(packs, SIZE, { ...noLimit, maxUnused: 0.3 })).toEqual([packs[1]]);
    expect(packsToRewrite(packs, SIZE, { ...noLimit, maxUnused: 1 })).toEqual([]);
    expect(packsToRewrite(packs, SIZE, { ...noLimit, maxUnused: 0 })).toHaveLength(4);
  });

  test('are not those without anything used: they just go', () => {
    expect(packsToRewrite([packOf(0, 1000), packOf(1000, 0)], SIZE, noLimit)).toEqual([]);
  });

  test('hold no more than may be moved at once', () => {
    const packs = [packOf(300, 700), packOf(400, 600), packOf(100, 400)];
    expect(packsToRewrite(packs, SIZE, { maxUnused: 0, maxRepackBytes: 450 })).toEqual([packs[2], packs[0]]);
    expect(packsToRewrite(packs, SIZE, { maxUnused: 0, maxRepackBytes: 0 })).toEqual([]);
  });

  test('are the small ones, too, when there are more than eight', () => {
    const small = Array.from({ length: 8 }, () => packOf(100, 0, 499));
    const full = packOf(1000, 0, 500);
    expect(packsToRewrite([...small, full], SIZE, noLimit)).toEqual([]);
    const more = [...small, full, packOf(50, 0, 100)];
    expect(new Set(packsToRewrite(more, SIZE, noLimit))).toEqual(new Set(more.filter((pack) => pack !== full)));
  });

  test('are chosen exactly when the numbers in the root say so, and leave no more than the share', () => {
    const pack = fc.record({ used: fc.nat(500), unused: fc.nat(500), raw: fc.nat(SIZE) });
    fc.assert(
      fc.property(fc.array(pack, { maxLength: 30 }), fc.integer({ min: 0, max: 100 }), (given, percent) => {
        const packs = given.map(({ used, unused, raw }) => packOf(used, unused, raw));
        const limits = { maxUnused: percent / 100, maxRepackBytes: null };
        const chosen = new Set(packsToRewrite(packs, SIZE, limits));
        expect(chosen.size > 0).toBe(isWasteful(spaceOf(packs, SIZE, 1), limits));
        const left = spaceOf(
          packs.filter((one) => !chosen.has(one)),
          SIZE,
          1,
        );
        const used = spaceOf(packs, SIZE, 1).used;
        expect(left.unused).toBeLessThanOrEqual(limits.maxUnused * used);
        expect(left.small).toBeLessThanOrEqual(8);
      }),
    );
  });
});
