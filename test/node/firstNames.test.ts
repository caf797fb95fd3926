import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { FirstName } from '../../src/node/firstNames.ts';
import { FirstNames } from '../../src/node/firstNames.ts';

let base: string;
let made = 0;
const newNames = (): FirstNames => new FirstNames(join(base, `names-${made++}`));

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'homarus-names-'));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const inodes = fc.oneof(
  fc.bigInt({ min: 1n, max: 40n }),
  // Alike in all that a slot is found by, at the size with which the table begins.
  fc.bigInt({ min: 0n, max: 40n }).map((high) => (high << 32n) | (high ^ 7n)),
  fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
);
const steps = fc.array(
  fc.record({ inode: inodes, path: fc.string({ maxLength: 30 }), step: fc.constantFrom('add', 'find', 'leave out') }),
  { maxLength: 300 },
);

test('names are found as a map would find them, until they are left out', () => {
  fc.assert(
    fc.property(steps, (taken) => {
      const names = newNames();
      const model = new Map<bigint, FirstName>();
      for (const { inode, path, step } of taken) {
        const known = model.get(inode);
        expect(names.find(inode)).toEqual(known);
        if (step === 'leave out' && known) {
          names.leaveOut(known);
          model.delete(inode);
          expect(names.isLeftOut(known)).toBe(true);
        } else if (step === 'add') {
          const latin = Buffer.from(path).toString('latin1');
          const added = names.add(inode, latin);
          expect(names.isLeftOut(added)).toBe(false);
          expect(added.path).toBe(latin);
          model.set(inode, added);
        }
      }
      names.close();
    }),
  );
});

test('a hundred thousand names are found again', () => {
  const names = newNames();
  const count = 100_000n;
  for (let inode = 1n; inode <= count; inode++) names.add(inode, `directory/${inode}`);
  for (let inode = 1n; inode <= count; inode += 97n) {
    expect(names.find(inode)?.path).toBe(`directory/${inode}`);
  }
  expect(names.find(count + 1n)).toBeUndefined();
  names.close();
});
