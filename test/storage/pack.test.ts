import { createCipheriv } from 'node:crypto';
import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { keys } from '../../src/domain/documents.ts';
import { openBlock } from '../../src/storage/block.ts';
import { ChunkIndex, joinIndexes, writeIndex } from '../../src/storage/chunkIndex.ts';
import { ChunkReader } from '../../src/storage/chunkReader.ts';
import { newPackId } from '../../src/storage/ids.ts';
import type { PackBuilderOptions } from '../../src/storage/pack.ts';
import { ENTRY_BYTES, PackBuilder, packSeal, readEntry, readPackFooter } from '../../src/storage/pack.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { nameChunk } from '../../src/storage/sealing.ts';
import { chunkOf, encrypted, givenRepository } from './given.ts';
import type { ScriptedStore } from './scripted.ts';

let store: ScriptedStore;
let repository: Repository;
beforeEach(async () => {
  ({ store, repository } = await givenRepository());
});

const BLOCK = 4_096;
const hashOf = (content: Buffer): Buffer => nameChunk(repository.sealing, content);
const contents = fc.uniqueArray(
  fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.tuple(fc.integer({ min: 1, max: 9_000 }), fc.nat(255)).map(([size, byte]) => new Uint8Array(size).fill(byte)),
  ),
  { selector: (bytes) => Buffer.from(bytes).toString('hex'), maxLength: 30 },
);

/** Bytes of the memory that a builder is given, if any, and whether it knows what will come. */
const memory = fc.record({ room: fc.option(fc.nat(60_000), { nil: undefined }), knows: fc.boolean() });

async function stored(all: readonly Buffer[], given: Partial<PackBuilderOptions> = {}) {
  const id = newPackId(1);
  const builder = new PackBuilder(repository.sealing, id, { block: BLOCK, level: 1, ...given });
  for (const content of all) builder.add(hashOf(content), content);
  const { pack, body, entries } = builder.finish();
  await repository.store.create(keys.pack(id), body);
  return { pack, entries };
}

describe.each(['plain', 'encrypted'])('a pack of a repository that is %s', (how) => {
  beforeEach(async () => {
    if (how === 'encrypted') ({ store, repository } = await givenRepository(encrypted));
  });

  test('gives back every chunk, and its footer says what an index would', async () => {
    await fc.assert(
      fc.asyncProperty(contents, memory, async (all, { room, knows }) => {
        const buffers = all.map((bytes) => Buffer.from(bytes));
        const raw = buffers.reduce((sum, { length }) => sum + length, 0);
        const { pack, entries } = await stored(buffers, {
          ...(room === undefined ? {} : { room: new Uint8Array(room).fill(255).buffer }),
          ...(knows ? { expected: { raw, chunks: buffers.length } } : {}),
        });
        const footer = await readPackFooter(repository, pack);
        expect(footer).toEqual({ pack, entries: expect.any(Buffer) });
        expect(pack.chunks).toBe(buffers.length);
        const body = (await store.read(keys.pack(pack.id))) as Buffer;
        const byHash = new Map(buffers.map((content) => [hashOf(content).toString('hex'), content]));
        for (const list of [entries, footer.entries]) {
          for (let at = 0; at < list.length; at += ENTRY_BYTES) {
            const { offset, stored: length, inner, length: size } = readEntry(list, at);
            const block = openBlock(packSeal(repository.sealing, pack), offset, body.subarray(offset, offset + length));
            const content = byHash.get(list.toString('hex', at, at + 32));
            expect(block.subarray(inner, inner + size).equals(content as Buffer)).toBe(true);
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  test.each([0, 1])('leaves what it was given as it was, however large that is, with zstd %i', async (level) => {
    const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(300_000));
    const all = [noise, Buffer.alloc(300_000, 1), noise.subarray(0, 2_000)];
    const before = all.map((content) => Buffer.from(content));
    const { pack, entries } = await stored(all, { level });
    expect(all.map((content, place) => content.equals(before[place] as Buffer))).toEqual([true, true, true]);
    expect((await readPackFooter(repository, pack)).entries).toEqual(entries);
  });

  test('of which any bit was flipped, or any end cut off, is refused by name wherever it is read', async () => {
    const all = Array.from({ length: 40 }, (_, place) => Buffer.alloc(place * 97, place));
    const { pack, entries } = await stored(all);
    const key = keys.pack(pack.id);
    const body = (await store.read(key)) as Buffer;
    const readAll = async (bytes: Buffer): Promise<void> => {
      store.put(key, bytes);
      await readPackFooter(repository, { ...pack, length: bytes.length });
      for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
        const { offset, stored: length } = readEntry(entries, at);
        openBlock(packSeal(repository.sealing, pack), offset, bytes.subarray(offset, offset + length));
      }
    };
    await readAll(body);
    const damaged = expect.objectContaining({ message: expect.stringContaining(key) });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: body.length - 1 }), fc.nat(7), async (at, bit) => {
        const flipped = Buffer.from(body);
        flipped[at]! ^= 1 << bit;
        await expect(readAll(flipped)).rejects.toEqual(damaged);
      }),
      { numRuns: 150 },
    );
    for (const length of [0, 5, 12, 19, body.length - 1]) {
      await expect(readAll(body.subarray(0, length))).rejects.toEqual(damaged);
    }
  });

  test('under the name of another, or of another repository, is refused', async () => {
    const { pack } = await stored([Buffer.from('content')]);
    const body = (await store.read(keys.pack(pack.id))) as Buffer;
    const other = newPackId(1);
    store.put(keys.pack(other), body);
    await expect(readPackFooter(repository, { ...pack, id: other })).rejects.toMatchObject({ code: 'ObjectDamaged' });
    const given = await givenRepository();
    // The same keys: what is refused is another repository's, not what cannot be opened.
    const { keys: same } = repository.sealing;
    const foreign = { ...given.repository, sealing: { ...given.repository.sealing, ...(same ? { keys: same } : {}) } };
    given.store.put(keys.pack(pack.id), body);
    await expect(readPackFooter(foreign, pack)).rejects.toMatchObject({ code: 'ObjectDamaged' });
  });
});

describe('an index', () => {
  const COUNT = 6_000;
  const hashes = Array.from({ length: COUNT }, (_, place) => chunkOf(`${place}`)).sort(Buffer.compare);
  const packs = [0, 1].map((place) => ({ id: newPackId(place + 1), length: 10, footer: 5, chunks: COUNT / 2 }));
  const given = async (own: Buffer[]): Promise<ChunkIndex> => {
    const entries = own.map((hash, place) => {
      const entry = Buffer.alloc(ENTRY_BYTES);
      hash.copy(entry);
      for (const [at, field] of [place % 2, place, 7, 1, 2].entries()) entry.writeUInt32LE(field, 32 + at * 4);
      return entry;
    });
    return ChunkIndex.open(repository, await writeIndex(repository, 3, [Buffer.concat(entries)], packs));
  };

  test('finds what it was given, and nothing else', async () => {
    const index = await given(hashes);
    for (const place of [0, 1, 1_259, 1_260, 1_261, 3_333, COUNT - 1]) {
      expect(await index.find(hashes[place]!)).toEqual({
        pack: packs[place % 2],
        offset: place,
        stored: 7,
        inner: 1,
        length: 2,
      });
    }
    for (const missing of [Buffer.alloc(32), Buffer.alloc(32, 255), chunkOf('no')]) {
      expect(await index.find(missing)).toBeUndefined();
    }
  });

  test('is joined with what is wanted: the first that has a chunk answers', async () => {
    const [low, high] = [
      await given(hashes.filter((_, place) => place % 3 === 0)),
      await given(hashes.filter((_, place) => place % 2 === 0)),
    ];
    const found: (ChunkIndex | undefined)[] = [];
    for await (const { record, index } of joinIndexes([Buffer.concat(hashes)], 32, [low, high])) {
      expect(record.equals(hashes[found.length]!)).toBe(true);
      found.push(index);
    }
    expect(found).toEqual(hashes.map((_, place) => (place % 3 === 0 ? low : place % 2 === 0 ? high : undefined)));
  });

  test('has only those pages read that a sparse wish needs', async () => {
    const index = await given(hashes);
    store.calls.length = 0;
    for await (const { location } of joinIndexes([Buffer.concat([hashes[10]!, hashes[11]!, hashes[5_000]!])], 32, [
      index,
    ])) {
      expect(location).toBeDefined();
    }
    expect(store.calls.filter(({ verb }) => verb === 'read').length).toBe(2);
  });

  test('that is not the one that the root names is refused', async () => {
    const index = await given(hashes.slice(0, 10));
    const wrong = { ...index.ref, hash: '00'.repeat(32) };
    await expect(ChunkIndex.open(repository, wrong)).rejects.toMatchObject({ code: 'ObjectDamaged' });
    await store.remove([keys.index(index.ref.id)]);
    await expect(ChunkIndex.open(repository, index.ref)).rejects.toMatchObject({ code: 'ObjectMissing' });
  });
});

test('a chunk is read through the index, and refused when the pack has something else in its place', async () => {
  const content = Buffer.from('what is wanted');
  const { pack, entries } = await stored([content, Buffer.from('something else')]);
  const sorted = [entries.subarray(0, ENTRY_BYTES), entries.subarray(ENTRY_BYTES)].sort(Buffer.compare);
  const open = async (list: Buffer): Promise<ChunkReader> =>
    new ChunkReader(repository, [await ChunkIndex.open(repository, await writeIndex(repository, 1, [list], [pack]))]);
  const reader = await open(Buffer.concat(sorted));
  expect(await reader.read(hashOf(content), content.length)).toEqual(content);
  await expect(reader.read(chunkOf('no'), 2)).rejects.toMatchObject({ code: 'ObjectMissing' });
  // Hashes of one, places of the other.
  const swapped = Buffer.concat(
    sorted.map((entry, place) => Buffer.concat([entry.subarray(0, 32), sorted[1 - place]!.subarray(32)])),
  );
  await expect((await open(swapped)).read(hashOf(content), content.length)).rejects.toMatchObject({
    code: 'ObjectDamaged',
  });
});
