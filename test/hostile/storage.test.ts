import { zstdCompressSync } from 'node:zlib';
import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { keys } from '../../src/domain/documents.ts';
import { HomarusError } from '../../src/domain/errors.ts';
import { readManifest } from '../../src/storage/backups.ts';
import type { BlockPlace } from '../../src/storage/block.ts';
import { newSeal, openBlock, sealBlock, sealOf } from '../../src/storage/block.ts';
import { ChunkIndex, writeIndex } from '../../src/storage/chunkIndex.ts';
import { ChunkReader } from '../../src/storage/chunkReader.ts';
import { trailer } from '../../src/storage/footer.ts';
import { blake3 } from '../../src/storage/hash.ts';
import { listMarks, pin } from '../../src/storage/marks.ts';
import { readPackFooter } from '../../src/storage/pack.ts';
import { findBackup } from '../../src/storage/planRestore.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { openJson, openRepository, sealJson } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import { chunkListsOf, decodeRows, encodeRow, pagesOf, readTree } from '../../src/storage/tree.ts';
import { BYTES } from '../../src/storage/treeRow.ts';
import type { GivenBackup } from '../storage/given.ts';
import { chunkOf, givenBackup, givenPack, givenRepository } from '../storage/given.ts';
import type { ScriptedStore } from '../storage/scripted.ts';
import { mutantsOf, TRIES } from './mutants.ts';

/**
 * What a storage may hold that we did not write, or not so: each reader believes it or says which object is damaged.
 * Everything here bears a right seal: the seal alone keeps out who cannot compute it.
 */

let store: ScriptedStore;
let repository: Repository;
let backup: GivenBackup;

const name = '2025-01-01T00-00-00Z';
const node = {
  id: 'n1',
  az: '',
  host: 'h',
  roots: [
    {
      name: 'data',
      tree: { pages: [{ first: '', chunk: 'ab'.repeat(32), length: 5 }] },
      totals: { entries: 1, files: 1, bytes: 1 },
      snapshotAt: '2025-01-01T00:00:00.000Z',
      skipped: 0,
      vanished: 0,
    },
  ],
};

beforeEach(async () => {
  ({ store, repository } = await givenRepository());
  backup = await givenBackup(repository, name, [['aa', 'bbb'], ['cccc']], { nodes: [node] });
  await pin(repository, name, { by: 'me' });
});

/** It says what is wrong in the words of the table, and never fails by itself. */
async function believesOrRefuses(read: () => Promise<unknown>, ...codes: string[]): Promise<void> {
  try {
    await read();
  } catch (error) {
    expect(error).toBeInstanceOf(HomarusError);
    expect(codes).toContain((error as HomarusError).code);
  }
}

const kept = (key: string): Buffer => store.objects.get(key)!.body;
const replace = (key: string, body: Buffer): void => void store.objects.set(key, { body, modified: store.clock });

describe('whatever became of', () => {
  test('repository.json', async () => {
    const document = JSON.parse(kept('repository.json').toString());
    await fc.assert(
      fc.asyncProperty(mutantsOf(document), async (mutant) => {
        replace('repository.json', Buffer.from(JSON.stringify(mutant)));
        await believesOrRefuses(
          async () => {
            const { parameters } = await openRepository(store);
            expect(parameters.id).toMatch(/^[0-9a-f]{32}$/);
            expect(parameters.chunker.size).toBeGreaterThan(0);
          },
          'ObjectDamaged',
          'RepositoryIncompatible',
        );
      }),
      { numRuns: TRIES },
    );
  });

  test('a root', async () => {
    const { root } = await presentRoot(repository);
    const key = keys.root(root.number);
    await fc.assert(
      fc.asyncProperty(mutantsOf(root), fc.string(), async (mutant, wanted) => {
        replace(key, sealJson(repository, { kind: 'root', key }, mutant));
        await believesOrRefuses(
          async () => {
            const at = await presentRoot(repository);
            for (const entry of at.root.backups)
              expect(keys.manifest(entry.name, entry.id)).not.toMatch(/\.\.\/|\/.*\//);
            findBackup(at.root, wanted);
          },
          'ObjectDamaged',
          'RepositoryIncompatible',
          'BackupNotFound',
        );
      }),
      { numRuns: TRIES },
    );
  });

  test('a manifest', async () => {
    const { entry } = backup;
    const key = keys.manifest(entry.name, entry.id);
    const document = openJson(repository, { kind: 'manifest', key }, kept(key));
    await fc.assert(
      fc.asyncProperty(mutantsOf(document), async (mutant) => {
        const sealed = sealJson(repository, { kind: 'manifest', key }, mutant);
        replace(key, sealed);
        const manifest = { length: sealed.length, hash: blake3.hash([sealed]).toString('hex') };
        await believesOrRefuses(
          async () => {
            const { nodes } = await readManifest(repository, { ...entry, manifest });
            // They become directories.
            for (const { id, roots } of nodes)
              for (const root of [id, ...roots.map((one) => one.name)]) expect(root).not.toMatch(/^\.|\/|\0/);
          },
          'ObjectDamaged',
          'RepositoryIncompatible',
        );
      }),
      { numRuns: TRIES },
    );
  });

  test('a mark: it counts as a pin', async () => {
    const [mark] = await listMarks(repository);
    const { key, ...document } = mark!;
    await fc.assert(
      fc.asyncProperty(mutantsOf(document), async (mutant) => {
        replace(key, sealJson(repository, { kind: 'mark', key }, mutant));
        expect(await listMarks(repository)).toHaveLength(1);
      }),
      { numRuns: TRIES },
    );
  });

  test('the footer of an index', async () => {
    const ref = backup.index!;
    const key = keys.index(ref.id);
    const place: BlockPlace = { kind: 'index', key };
    const body = kept(key);
    const seal = sealOf(repository.sealing, place, body);
    const pages = body.subarray(0, ref.length - ref.footer - 8);
    const footer = JSON.parse(openBlock(seal, pages.length, body.subarray(pages.length, -8)).toString());
    const wanted = chunkOf('aa');
    await fc.assert(
      fc.asyncProperty(mutantsOf(footer), async (mutant) => {
        const sealed = sealBlock(seal, pages.length, Buffer.from(JSON.stringify(mutant)), 1);
        const whole = Buffer.concat([pages, sealed, trailer(sealed.length)]);
        replace(key, whole);
        const named = { ...ref, length: whole.length, hash: blake3.hash([sealed]).toString('hex') };
        await believesOrRefuses(async () => {
          const index = await ChunkIndex.open(repository, named);
          await index.find(wanted);
          for await (const page of index.pages())
            for (let at = 0; at < page.length; at += 52) index.locationAt(page, at);
        }, 'ObjectDamaged');
      }),
      { numRuns: TRIES },
    );
  });

  test('a page of an index: a chunk is what was stored, or is not read', async () => {
    const { pack, entries } = await givenPack(repository, 9, ['aa', 'bbb']);
    // Of an entry: number of the pack, and of the chunk's place offset, stored bytes, place in the block, length.
    const change = fc.record({
      at: fc.constantFrom(...[0, 1].flatMap((entry) => [0, 1, 2, 3, 4].map((word) => entry * 52 + 32 + word * 4))),
      value: fc.oneof(fc.nat(100), fc.constantFrom(2 ** 26 + 1, 2 ** 31, 2 ** 32 - 1)),
    });
    let read = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        const altered = Buffer.from(entries);
        for (const { at, value } of changes) altered.writeUInt32LE(value, at);
        const sorted = [altered.subarray(0, 52), altered.subarray(52)].sort(Buffer.compare);
        const ref = await writeIndex(repository, 9, [Buffer.concat(sorted)], [pack]);
        await believesOrRefuses(
          async () => {
            const reader = new ChunkReader(repository, [await ChunkIndex.open(repository, ref)]);
            expect((await reader.read(chunkOf('aa'), 2)).toString()).toBe('aa');
            read++;
          },
          'ObjectDamaged',
          'ObjectMissing',
        );
        store.objects.delete(keys.index(ref.id));
      }),
      { numRuns: TRIES },
    );
    expect(read).toBeGreaterThan(0);
  });

  test('the list of the pages of a tree: each is a chunk of a size that memory is taken for', async () => {
    const document = { pages: ['ab', 'cd'].map((byte) => ({ first: '', chunk: byte.repeat(32), length: 5 })) };
    const mutants = mutantsOf(document).map((mutant) => JSON.stringify(mutant));
    await fc.assert(
      fc.asyncProperty(fc.oneof({ weight: 9, arbitrary: mutants }, fc.string()), async (content) => {
        const reader = { read: async () => Buffer.from(content) } as Partial<ChunkReader> as ChunkReader;
        const tree = { pageList: { chunk: 'ef'.repeat(32), length: content.length }, pageCount: 2 };
        await believesOrRefuses(async () => {
          for (const { chunk, length } of await pagesOf(reader, tree)) {
            expect(chunk).toMatch(/^[0-9a-f]{64}$/);
            expect(length).toBeGreaterThanOrEqual(0);
            expect(length).toBeLessThanOrEqual(2 ** 26);
          }
        }, 'ObjectDamaged');
      }),
      { numRuns: TRIES },
    );
  });

  test('bytes of a pack, its footer too', async () => {
    const [pack] = backup.packs;
    const key = keys.pack(pack!.id);
    const body = kept(key);
    await fc.assert(
      fc.asyncProperty(fc.nat(body.length - 1), fc.nat(255), fc.nat(body.length), async (at, byte, length) => {
        const altered = Buffer.from(body);
        altered[at] = byte;
        const cut = altered.subarray(0, length);
        replace(key, cut);
        await believesOrRefuses(
          () => readPackFooter(repository, { id: pack!.id, length: cut.length }),
          'ObjectDamaged',
          'RepositoryIncompatible',
        );
      }),
      { numRuns: TRIES },
    );
  });

  test('the footer of a pack that is sealed', async () => {
    const { id } = backup.packs[0]!;
    const key = keys.pack(id);
    const place: BlockPlace = { kind: 'pack', key };
    const seal = newSeal(repository.sealing, place);
    const words = fc.array(fc.oneof(fc.nat(100), fc.constantFrom(2 ** 32 - 1, 2 ** 31, 12)), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(words, async (numbers) => {
        const content = Buffer.alloc(numbers.length * 4);
        for (const [place, number] of numbers.entries()) content.writeUInt32LE(number, place * 4);
        const sealed = sealBlock(seal, seal.header.length, content, 0);
        const whole = Buffer.concat([seal.header, sealed, trailer(sealed.length)]);
        replace(key, whole);
        await believesOrRefuses(() => readPackFooter(repository, { id, length: whole.length }), 'ObjectDamaged');
      }),
      { numRuns: TRIES },
    );
  });

  test('a page of a tree: no path that is handed on leaves its root', () => {
    const row = { path: 'a', type: 'file', size: 0, mtime: 0n, mode: 0, uid: 0, gid: 0 } as const;
    const bytes = fc.uint8Array({ maxLength: 200 }).map((page) => Buffer.from(page));
    const part = fc.constantFrom('..', '.', '', 'a', 'b\0', '...', '/', 'c', '\xff');
    const written = fc
      .array(fc.array(part, { maxLength: 5 }), { minLength: 1, maxLength: 4 })
      .map((paths) => Buffer.concat(paths.map((parts) => encodeRow({ ...row, path: parts.join('/') }, ''))));
    fc.assert(
      fc.property(fc.oneof(bytes, written), (page) => {
        try {
          for (const { path, type, target } of decodeRows(page, 'a page')) {
            for (const one of [path, ...(type === 'hardlink' ? [target ?? ''] : [])]) {
              expect(one.split('/').filter((name) => ['.', '..'].includes(name) || name.includes('\0'))).toEqual([]);
              if (one !== '') expect(one).toMatch(/^[^/]+(\/[^/]+)*$/);
            }
          }
        } catch (error) {
          expect(error).toBeInstanceOf(HomarusError);
          expect(['ObjectDamaged', 'UnsafePath']).toContain((error as HomarusError).code);
        }
      }),
      { numRuns: TRIES },
    );
  });
});

describe('memory is not taken on the word of an object:', () => {
  const place: BlockPlace = { kind: 'pack', key: 'packs/0000000000000001/0123456789abcdef' };
  /** A compressed block that claims another length than its content has: docs/format.md, section 1. */
  const claiming = (length: number, payload: Buffer): Buffer => {
    const context = Buffer.alloc(16 + 3 + place.key.length + 8 + 5);
    context.set(repository.sealing.repositoryId);
    context[16] = 5;
    context.writeUInt16LE(place.key.length, 17);
    context.write(place.key, 19, 'latin1');
    context.writeBigUInt64LE(12n, 19 + place.key.length);
    context[27 + place.key.length] = 1;
    context.writeUInt32LE(length, 28 + place.key.length);
    return Buffer.concat([context.subarray(-5), payload, blake3.hash([context, payload]).subarray(0, 16)]);
  };

  test('a bomb is not opened beyond what it says, and not at all when it says too much', () => {
    const bomb = zstdCompressSync(Buffer.alloc(64 * 1024 * 1024));
    expect(bomb.length).toBeLessThan(10_000);
    const seal = newSeal(repository.sealing, place);
    expect(openBlock(seal, 12, claiming(1_000, zstdCompressSync(Buffer.alloc(1_000))))).toHaveLength(1_000);
    const before = process.memoryUsage().arrayBuffers;
    for (const [claimed, why] of [
      [1, /does not decompress/],
      [1_000_000, /does not decompress/],
      [2 ** 26 + 1, /claims 67108865 bytes/],
      [2 ** 32 - 1, /claims 4294967295 bytes/],
    ] as const) {
      expect(() => openBlock(seal, 12, claiming(claimed, bomb))).toThrow(why);
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024);
  });

  test('a row that claims 10^15 bytes of any field, or is that long itself, is cut short', () => {
    const varint = (value: bigint): number[] =>
      value < 128n ? [Number(value)] : [Number(value & 127n) | 128, ...varint(value >> 7n)];
    const huge = varint(10n ** 15n);
    const row = (...claim: number[]): Buffer => Buffer.from([claim.length, ...claim]);
    const keysOfBytes = Array.from({ length: 40 }, (_, field) => varint(BigInt(field * 8 + BYTES)));
    const pages = [Buffer.from(huge), ...keysOfBytes.map((key) => row(...key, ...huge))];
    const before = process.memoryUsage().arrayBuffers;
    for (const page of pages) {
      for (const read of [decodeRows, chunkListsOf]) {
        expect(() => [...read(page)]).toThrow('a page of a tree is damaged: it is cut short');
      }
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024);
  });

  test('a tree whose one page stands in its list a million times ends at the second, and a file of 10^15 bytes has them all', async () => {
    const row = { path: 'a', type: 'file', size: 0, mtime: 0n, mode: 0, uid: 0, gid: 0 } as const;
    let reads = 0;
    const reading = (page: Buffer): ChunkReader =>
      ({
        read: async () => {
          reads++;
          return page;
        },
      }) as Partial<ChunkReader> as ChunkReader;
    const page = { first: '', chunk: 'ab'.repeat(32), length: 100 };
    const rowsOf = async (content: Buffer, pages: number): Promise<number> => {
      let rows = 0;
      for await (const _ of readTree(reading(content), { pages: Array(pages).fill(page) })) rows++;
      return rows;
    };
    await expect(rowsOf(encodeRow(row, ''), 1_000_000)).rejects.toThrow(/it comes before the page before it/);
    expect(reads).toBeLessThan(10);
    await expect(rowsOf(encodeRow({ ...row, size: 1e15 }, ''), 1)).rejects.toThrow(
      /"a" has 0 of 1000000000000000 bytes/,
    );
  });
});
