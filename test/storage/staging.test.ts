import { beforeEach, describe, expect, test } from '@jest/globals';
import { keys } from '../../src/domain/documents.ts';
import { anything } from '../../src/domain/shape.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { readStaged, readStagedJson, stageJson, stageRecords } from '../../src/storage/staging.ts';
import { givenRepository } from './given.ts';
import type { ScriptedStore } from './scripted.ts';

const RECORD = 36;
const prefix = `${keys.staging(7, 'nightly')}node1/chunks`;
let store: ScriptedStore;
let repository: Repository;

beforeEach(async () => {
  ({ store, repository } = await givenRepository());
});

const records = (count: number): Buffer => {
  const all = Buffer.alloc(count * RECORD);
  for (let number = 0; number < count; number++) all.writeUInt32BE(number, number * RECORD);
  return all;
};
const stage = (source: Iterable<Buffer>) => stageRecords(repository, prefix, RECORD, source);
const readAll = async (list: Awaited<ReturnType<typeof stage>>): Promise<Buffer> => {
  const parts: Buffer[] = [];
  for await (const part of readStaged(repository, list, RECORD)) parts.push(part);
  return Buffer.concat(parts);
};

describe('a staged list', () => {
  test('is read as it was written, in segments of at most 16 MiB of whole records', async () => {
    const all = records(500_000);
    // One buffer for all batches, as a sorter hands them out.
    const batch = Buffer.alloc(RECORD * 1000);
    function* batches() {
      for (let at = 0; at < all.length; at += batch.length) {
        all.copy(batch, 0, at);
        yield batch;
      }
    }
    const list = await stage(batches());
    expect(list).toMatchObject({
      segments: 2,
      records: 500_000,
      key: expect.stringMatching(`^${prefix}-[0-9a-f]{16}$`),
    });
    expect((await readAll(list)).equals(all)).toBe(true);
    for await (const segment of readStaged(repository, list, RECORD)) {
      expect(segment.length % RECORD).toBe(0);
      expect(segment.length).toBeLessThanOrEqual(16 * 1024 * 1024);
    }
  });

  test('may be empty, and says so', async () => {
    const list = await stage([]);
    expect(list).toMatchObject({ segments: 0, records: 0 });
    expect(await readAll(list)).toEqual(Buffer.alloc(0));
  });

  test('that lost a segment is an error, never empty', async () => {
    const list = await stage([records(10)]);
    store.objects.delete(`${list.key}/000000`);
    await expect(readAll(list)).rejects.toMatchObject({ code: 'ObjectMissing' });
  });

  test('that was altered, or exchanged for another, is refused', async () => {
    const [list, other] = [await stage([records(10)]), await stage([records(11)])];
    const body = store.objects.get(`${list.key}/000000`)?.body as Buffer;
    body[30]! ^= 1;
    await expect(readAll(list)).rejects.toMatchObject({ code: 'ObjectDamaged' });
    store.put(`${list.key}/000000`, store.objects.get(`${other.key}/000000`)?.body as Buffer);
    await expect(readAll(list)).rejects.toMatchObject({ code: 'ObjectDamaged' });
    await expect(readAll({ ...other, hash: list.hash })).rejects.toMatchObject({ code: 'ObjectDamaged' });
    await expect(readAll({ ...other, segments: 0 })).rejects.toMatchObject({ code: 'ObjectDamaged' });
  });

  test('of a repeated activity never meets that of its former try', async () => {
    const [first, second] = [await stage([records(10)]), await stage([records(12)])];
    expect((await readAll(first)).length).toBe(10 * RECORD);
    expect((await readAll(second)).length).toBe(12 * RECORD);
  });
});

describe('a staged document', () => {
  test('is read as it was written', async () => {
    const receipt = await stageJson(repository, `${keys.staging(7, 'nightly')}node1/snapshot`, { id: 'n1', roots: [] });
    expect(await readStagedJson(repository, receipt, anything)).toEqual({ id: 'n1', roots: [] });
  });

  test('is refused when it is not the one of its receipt', async () => {
    const receipt = await stageJson(repository, prefix, { id: 'n1' });
    await expect(readStagedJson(repository, { ...receipt, hash: '00' }, anything)).rejects.toMatchObject({
      code: 'ObjectDamaged',
    });
    store.objects.delete(receipt.key);
    await expect(readStagedJson(repository, receipt, anything)).rejects.toMatchObject({ code: 'ObjectMissing' });
  });
});
