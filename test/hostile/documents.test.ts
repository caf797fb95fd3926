import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { manifestNode, packRefs, reportLine, streamChunks } from '../../src/domain/documentShapes.ts';
import { keys, type LeaseDocument, type ManifestNode, padded } from '../../src/domain/documents.ts';
import { HomarusError } from '../../src/domain/errors.ts';
import type { Shape } from '../../src/domain/shape.ts';
import { makeSlot, openSlot, parseSlot, readSlotNote } from '../../src/storage/keySlot.ts';
import { checkKey } from '../../src/storage/objectStore.ts';
import type { PackRef } from '../../src/storage/pack.ts';
import { readReport, writeReport } from '../../src/storage/report.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import { readStagedJson, stageJson } from '../../src/storage/staging.ts';
import type { ReportLine } from '../../src/storage/verify.ts';
import { damagedOthers } from '../../src/storage/verifyObjects.ts';
import { givenRepository } from '../storage/given.ts';
import type { ScriptedStore } from '../storage/scripted.ts';
import { mutantsOf, TRIES } from './mutants.ts';

/** Documents of a storage beside backups that bear no seal, or one that a stranger may have: they are believed field by field. */

let store: ScriptedStore;
let repository: Repository;
beforeEach(async () => {
  ({ store, repository } = await givenRepository());
});

const refused = (error: unknown, ...codes: string[]): void => {
  expect(error).toBeInstanceOf(HomarusError);
  expect(codes).toContain((error as HomarusError).code);
};

describe('whatever became of', () => {
  test('a key slot: it is refused before a secret is stretched for it, or asks for no more than is honoured', async () => {
    const place = { repository: 'ab'.repeat(16), key: 'keys/0000000000000001-0123456789abcdef' };
    const secret = { kind: 'passphrase', bytes: Buffer.from('secret') } as const;
    const content = { master: Buffer.alloc(32, 1), parameters: Buffer.alloc(32, 2) };
    const note = { label: 'mine', by: 'me', at: '2025-01-01T00:00:00.000Z' };
    const slot = await makeSlot(place, secret, content, note, { n: 2, r: 1, p: 1 });
    expect(readSlotNote(place, slot, content.master)).toEqual(note);
    let opened = 0;
    await fc.assert(
      fc.asyncProperty(mutantsOf(slot), async (mutant) => {
        try {
          const parsed = parseSlot(place, Buffer.from(JSON.stringify(mutant)));
          const { n = 2, r = 1, p = 1 } = parsed.kdf;
          expect(n * r * p).toBeLessThanOrEqual(2 ** 20 * 32 * 16);
          // What costs much is not asked for here.
          if (n * r * p > 64) return;
          const found = await openSlot(place, parsed, secret);
          if (found) expect(found).toEqual(content);
          opened += found ? 1 : 0;
        } catch (error) {
          refused(error, 'ObjectDamaged', 'RepositoryIncompatible');
        }
      }),
      { numRuns: TRIES },
    );
    expect(opened).toBeGreaterThan(0);
  });

  test('the note beside a key slot: it is a note, or there is none', async () => {
    const place = { repository: 'ab'.repeat(16), key: 'keys/0000000000000001-0123456789abcdef' };
    const secret = { kind: 'keyFile', bytes: Buffer.alloc(32, 3) } as const;
    const content = { master: Buffer.alloc(32, 1), parameters: Buffer.alloc(32, 2) };
    const note = { label: 'mine', by: 'me', at: '2025-01-01T00:00:00.000Z' };
    await fc.assert(
      fc.asyncProperty(mutantsOf(note), async (mutant) => {
        const slot = await makeSlot(place, secret, content, mutant as typeof note);
        const { label, by, at } = readSlotNote(place, slot, content.master) ?? note;
        for (const one of [label, by, at]) expect(typeof one).toBe('string');
      }),
      { numRuns: TRIES },
    );
  });

  test('a lease: a verify names it, and goes on', async () => {
    const key = keys.lease(1);
    const holder = { operation: 'backup-1', run: 'r/1', kind: 'backup', by: 'me', since: 'now', ttl: 1 } as const;
    const lease: LeaseDocument = { version: 1, epoch: 1, holder, ttl: 1, refreshed: '2025-01-01T00:00:00.000Z' };
    const at = await presentRoot(repository);
    const found = async (document: unknown): Promise<string[]> => {
      store.objects.set(key, { body: Buffer.from(JSON.stringify(document)), modified: store.clock });
      const damaged: string[] = [];
      for await (const one of damagedOthers(repository, at)) damaged.push(`${one.code} ${one.key}`);
      return damaged;
    };
    expect(await found(lease)).toEqual([]);
    await fc.assert(
      fc.asyncProperty(mutantsOf(lease), async (mutant) => {
        const { version, epoch, holder: whose } = (mutant ?? {}) as Partial<LeaseDocument>;
        const wrong = version !== 1 || epoch !== 1 || typeof whose?.operation !== 'string';
        const damaged = await found(mutant);
        expect([[], [`ObjectDamaged ${key}`]]).toContainEqual(damaged);
        if (wrong) expect(damaged).toHaveLength(1);
      }),
      { numRuns: TRIES },
    );
  });

  test('a staged document: it has its shape, or is damaged', async () => {
    const chunk = { chunk: 'ab'.repeat(32), length: 5 };
    const totals = { entries: 1, files: 1, bytes: 1 };
    const root = { name: 'data', tree: { pages: [{ first: '', ...chunk }] }, totals, snapshotAt: '' };
    const documents: [Shape, unknown][] = [
      [packRefs, [{ id: `${padded(1)}/${'a'.repeat(16)}`, length: 1, footer: 1, chunks: 1 }]],
      [streamChunks, [chunk]],
      [manifestNode, { id: 'n1', az: '', host: 'h', roots: [{ ...root, skipped: 0, vanished: 0 }] }],
    ];
    for (const [shape, document] of documents) {
      expect(shape(document, '')).toBeUndefined();
      await fc.assert(
        fc.asyncProperty(mutantsOf(document), async (mutant) => {
          const receipt = await stageJson(repository, `${keys.staging(1, 'backup-1')}n1/document`, mutant);
          try {
            const found = await readStagedJson<unknown>(repository, receipt, shape);
            // What becomes a part of keys and directories.
            for (const { id } of shape === packRefs ? (found as PackRef[]) : []) checkKey(keys.pack(id));
            if (shape === manifestNode) expect((found as ManifestNode).id).not.toMatch(/^\.|\/|\0/);
          } catch (error) {
            refused(error, 'ObjectDamaged');
          }
          store.objects.delete(receipt.key);
        }),
        { numRuns: TRIES },
      );
    }
  });

  test('a line of a report: it is one of the three kinds with all of its fields, or the report is damaged', async () => {
    const lines: ReportLine[] = [
      { type: 'damage', kind: 'pack', key: 'packs/1', code: 'ObjectMissing', reason: 'gone' },
      { type: 'backup', backup: 'b', state: 'damaged', lostFiles: 1 },
      { type: 'loss', backups: ['b'], node: 'n1', root: 'data', path: 'a', until: null },
    ];
    await fc.assert(
      fc.asyncProperty(mutantsOf(lines), async (mutant) => {
        const written = (Array.isArray(mutant) ? mutant : [mutant]).map((line: unknown) => Object(line) as object);
        const report = await writeReport(repository, 'reports/verify-1/report', written);
        try {
          for await (const line of readReport<ReportLine>(repository, report, reportLine)) {
            if (line.type === 'damage') expect(line.key.length + line.reason.length).toBeGreaterThanOrEqual(0);
            else if (line.type === 'backup') expect(line.lostFiles).toBeGreaterThanOrEqual(0);
            else expect(line.backups.map((name) => name.length)).not.toContain(0);
          }
        } catch (error) {
          refused(error, 'ObjectDamaged');
        }
        store.objects.clear();
      }),
      { numRuns: TRIES },
    );
  });
});
