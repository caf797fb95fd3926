import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { keys } from '../../src/domain/documents.ts';
import type { BlockPlace, ObjectKind } from '../../src/storage/block.ts';
import { newSeal, openBlock, openObject, sealBlock, sealObject } from '../../src/storage/block.ts';
import { ChunkIndex } from '../../src/storage/chunkIndex.ts';
import { rotateDataKey } from '../../src/storage/keyChanges.ts';
import { acquireLock } from '../../src/storage/lock.ts';
import { pin } from '../../src/storage/marks.ts';
import { ENTRY_BYTES, packSeal, readEntry, readPackFooter } from '../../src/storage/pack.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import { stageJson, stagingOf } from '../../src/storage/staging.ts';
import { encrypted, givenBackup, givenRepository, holderOf } from './given.ts';
import type { ScriptedStore } from './scripted.ts';

/** Two objects of every kind in one repository. */
interface Given {
  store: ScriptedStore;
  repository: Repository;
}

async function given(how: string): Promise<Given> {
  const { store, repository } = await givenRepository(how === 'encrypted' ? encrypted : {});
  for (const name of ['2025-01-01T00-00-00Z', '2025-01-02T00-00-00Z']) {
    await givenBackup(repository, name, [[`content of ${name}`, 'x'.repeat(200)]]);
    await pin(repository, name, { by: 'tester', note: name });
  }
  if (how === 'encrypted') await rotateDataKey(repository, { by: 'tester' });
  const { epoch } = await acquireLock(repository, holderOf('nightly'), { nonce: 'held' });
  const prefix = stagingOf(repository.sealing, { epoch, operation: 'nightly' }, 'node1');
  for (const list of ['packs', 'snapshot']) await stageJson(repository, `${prefix}${list}`, { list });
  return { store, repository };
}

const PREFIXES: Partial<Record<ObjectKind, string>> = {
  root: 'roots/',
  manifest: 'manifests/',
  mark: 'marks/',
  staged: 'staging/',
  pack: 'packs/',
  index: 'indexes/',
  lease: 'leases/',
  dataKey: 'keys/generation-',
};

/** Reads all of an object, as its readers do. */
async function readObject({ store, repository }: Given, kind: ObjectKind, key: string): Promise<void> {
  const stored = store.objects.get(key)!.body;
  if (kind === 'index') {
    const { root } = await presentRoot(repository);
    const index = await ChunkIndex.open(repository, root.indexes.find(({ id }) => keys.index(id) === key)!);
    for await (const page of index.pages()) expect(page.length).toBeGreaterThan(0);
  } else if (kind === 'pack') {
    const { pack, entries } = await readPackFooter(repository, {
      id: key.slice('packs/'.length),
      length: stored.length,
    });
    const seal = packSeal(repository.sealing, pack);
    for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
      const { offset, stored: length } = readEntry(entries, at);
      openBlock(seal, offset, stored.subarray(offset, offset + length));
    }
  } else openObject(repository.sealing, { kind, key }, stored);
}

describe.each(['plain', 'encrypted'])('in a repository that is %s, an object', (how) => {
  let one: Given;
  let foreign: Given;
  const untouched = new Map<string, Buffer>();
  beforeAll(async () => {
    one = await given(how);
    for (const [key, { body }] of one.store.objects) untouched.set(key, body);
    // The same keys: what is refused is another repository's, not what cannot be opened.
    const { repository, store } = await given(how);
    const { keys: same } = one.repository.sealing;
    foreign = { store, repository: { ...repository, sealing: { ...repository.sealing, ...(same && { keys: same }) } } };
  });
  afterAll(() => untouched.clear());

  const kinds = (Object.keys(PREFIXES) as ObjectKind[]).filter(
    (kind) => how === 'encrypted' || (kind !== 'lease' && kind !== 'dataKey'),
  );
  /** The newest two, by key. */
  const two = (kind: ObjectKind) => one.store.keys(PREFIXES[kind] as string).slice(-2) as [string, string];
  const put = (objects: Record<string, Buffer>) => {
    for (const [key, body] of Object.entries(objects)) one.store.put(key, body);
  };
  const refused = async (kind: ObjectKind, key: string, objects: Record<string, Buffer>) => {
    put(objects);
    try {
      await expect(readObject(one, kind, key)).rejects.toMatchObject({
        code: expect.stringMatching(/^(ObjectDamaged|RepositoryIncompatible)$/),
        message: expect.stringContaining(key),
      });
    } finally {
      for (const name of Object.keys(objects)) one.store.put(name, untouched.get(name) as Buffer);
    }
  };

  test.each(kinds)('of kind %s is read as it was written', async (kind) => {
    for (const key of two(kind)) await readObject(one, kind, key);
  });

  test.each(kinds)('of kind %s under the name of another is refused', async (kind) => {
    const [a, b] = two(kind);
    await refused(kind, a, { [a]: untouched.get(b) as Buffer });
    await refused(kind, b, { [a]: untouched.get(b) as Buffer, [b]: untouched.get(a) as Buffer });
  });

  test.each(kinds)('of kind %s in the place of one of another kind is refused', async (kind) => {
    const [key] = two(kind);
    for (const other of kinds) {
      if (other !== kind) await refused(kind, key, { [key]: untouched.get(two(other)[0]) as Buffer });
    }
  });

  test.each(kinds)('of kind %s, cut anywhere or longer than it was, is refused', async (kind) => {
    const [key] = two(kind);
    const whole = untouched.get(key) as Buffer;
    for (const length of [0, 3, 11, 12, 30, 44, 60, whole.length - 1]) {
      await refused(kind, key, { [key]: whole.subarray(0, Math.min(length, whole.length - 1)) });
    }
    if (kind !== 'index') await refused(kind, key, { [key]: Buffer.concat([whole, Buffer.alloc(1)]) });
  });

  test.each(kinds)('of kind %s with one bit flipped is refused', async (kind) => {
    const [key] = two(kind);
    const whole = untouched.get(key) as Buffer;
    for (let at = 0; at < whole.length; at += Math.max(1, Math.floor(whole.length / 100))) {
      const flipped = Buffer.from(whole);
      flipped[at]! ^= 1 << (at % 8);
      await refused(kind, key, { [key]: flipped });
    }
  });

  test.each(kinds)('of kind %s of another repository with the same keys is refused', async (kind) => {
    if (kind === 'index') return;
    const [key] = two(kind);
    foreign.store.put(key, untouched.get(key) as Buffer);
    await expect(readObject(foreign, kind, key)).rejects.toMatchObject({ code: 'ObjectDamaged' });
  });
});

describe('what is sealed with a key', () => {
  test('comes back, whatever it is and wherever it stands', async () => {
    const { repository } = await givenRepository(encrypted);
    await fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 5_000 }),
        fc.constantFrom<ObjectKind>('root', 'manifest', 'mark', 'staged', 'pack', 'index', 'lease'),
        fc.integer({ min: 0, max: 2 ** 40 }),
        fc.integer({ min: 0, max: 3 }),
        (content, kind, offset, level) => {
          const place: BlockPlace = { kind, key: `packs/${offset}` };
          const object = sealObject(repository.sealing, place, content, level);
          expect(openObject(repository.sealing, place, object).equals(content)).toBe(true);
          const seal = newSeal(repository.sealing, place);
          const block = sealBlock(seal, offset, content, level);
          expect(openBlock(seal, offset, block).equals(content)).toBe(true);
          expect(() => openBlock(seal, offset + 1, block)).toThrow('is not what was written there');
        },
      ),
      { numRuns: 200 },
    );
  });

  test('is never the same twice, though its content is', async () => {
    const { repository } = await givenRepository(encrypted);
    const place: BlockPlace = { kind: 'pack', key: 'packs/a' };
    const [one, other] = [0, 1].map(() => sealObject(repository.sealing, place, Buffer.alloc(64), 0)) as [
      Buffer,
      Buffer,
    ];
    for (let at = 12; at + 16 <= one.length; at += 16) {
      expect(one.subarray(at, at + 16).equals(other.subarray(at, at + 16))).toBe(false);
    }
  });

  test('in a plain repository, or not sealed in an encrypted one, is refused as what it is', async () => {
    const plain = await givenRepository();
    const sealed = await givenRepository(encrypted);
    const place: BlockPlace = { kind: 'mark', key: 'marks/a' };
    const [open, closed] = [plain, sealed].map(({ repository }) =>
      sealObject(repository.sealing, place, Buffer.alloc(9), 0),
    );
    expect(() => openObject(sealed.repository.sealing, place, open as Buffer)).toThrow('it is not encrypted as this');
    expect(() => openObject(plain.repository.sealing, place, closed as Buffer)).toThrow('it is encrypted');
  });
});
