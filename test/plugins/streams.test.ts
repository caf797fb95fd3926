import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { keys } from '../../src/domain/documents.ts';
import type { StorageGrant, StreamReceipt } from '../../src/domain/operations.ts';
import { readManifest } from '../../src/storage/backups.ts';
import { commitBackup } from '../../src/storage/commitBackup.ts';
import { acquireLock } from '../../src/storage/lock.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import { readStream, writeStream } from '../../src/storage/streams.ts';
import { givenRepository, holderOf } from '../storage/given.ts';
import type { ScriptedStore } from '../storage/scripted.ts';

let directory: string;
let repository: Repository;
let store: ScriptedStore;
let backups = 0;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'homarus-streams-'));
  ({ repository, store } = await givenRepository());
});
afterEach(() => rmSync(directory, { recursive: true }));

async function* partsOf(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

async function locked(): Promise<StorageGrant> {
  const attempt = holderOf(`backup-${++backups}`);
  const { at, epoch } = await acquireLock(repository, { ...attempt, ttl: 0 }, { nonce: `lock ${backups}` });
  return { attempt, storage: 'main', repository: repository.parameters.id, epoch, root: at.root.number, ttl: 60_000 };
}

function committed(grant: StorageGrant, streams: StreamReceipt[], change: object = {}) {
  const commit = {
    ...{ grant, id: `${String(grant.epoch).padStart(16, '0')}-${'0'.repeat(16)}`, nonce: `commit ${backups}` },
    ...{
      label: '',
      attempt: 1,
      started: '2026-01-01T00:00:00.000Z',
      snapshots: [],
      missing: [],
      uploads: [],
      orphans: null,
    },
    ...{ plugin: { name: 'x', version: 1, data: null }, requires: [], streams },
    ...change,
  };
  return commitBackup(repository, commit, { directory });
}

/** A backup of one stream. */
async function stored(name: string, cuts: 'fixed' | 'given', ...parts: Uint8Array[]) {
  const grant = await locked();
  const receipt = await writeStream(repository, { grant, name, cuts }, partsOf(...parts), { directory });
  const { receipt: backup } = await committed(grant, [receipt]);
  return { receipt, backup: { name: backup.backup }, result: backup };
}

async function read(backup: { name: string }, name: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of readStream(repository, backup, name)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('a stream is read back as it was written, however its source cut it, and leaves no file behind', async () => {
  const content = randomBytes(20_000_000);
  const { backup } = await stored(
    'dump',
    'fixed',
    content.subarray(0, 3),
    content.subarray(3, 17_000_000),
    content.subarray(17_000_000),
  );
  expect((await read(backup, 'dump')).equals(content)).toBe(true);
  const given = await stored('dump', 'given', Buffer.from('a'), Buffer.alloc(0), Buffer.from('bc'));
  expect((await read(given.backup, 'dump')).toString()).toBe('abc');
  const empty = await stored('dump', 'fixed');
  expect(await read(empty.backup, 'dump')).toHaveLength(0);
  expect(readdirSync(directory)).toEqual([]);
});

test('fixed cuts are those of a file: whole pieces, then halving sizes', async () => {
  const { chunker } = repository.parameters;
  const { backup } = await stored('dump', 'fixed', randomBytes(chunker.size + 5 * chunker.minimum));
  const { root } = await presentRoot(repository);
  const manifest = await readManifest(repository, root.backups.find(({ name }) => name === backup.name)!);
  expect(manifest.streams[0]?.chunks.map(({ length }) => length)).toEqual([
    chunker.size,
    4 * chunker.minimum,
    chunker.minimum,
  ]);
});

test('what an earlier backup stored, or the stream itself, is not stored again', async () => {
  const [a, b] = [randomBytes(1_000_000), randomBytes(1_000_000)];
  const first = await stored('one', 'given', a, b, a);
  expect(first.receipt).toMatchObject({ bytes: 3_000_000, upload: { bytes: 2_000_000, chunks: 2, packCount: 1 } });
  expect(first.result).toMatchObject({ added: 2_000_000 });
  const second = await stored('other', 'given', b, a);
  expect(second.receipt.upload).toBeNull();
  expect((await read(second.backup, 'other')).equals(Buffer.concat([b, a]))).toBe(true);
});

test('two streams of one backup that hold the same are one copy in its index, and both read back', async () => {
  const content = randomBytes(1_000_000);
  const grant = await locked();
  const receipts: StreamReceipt[] = [];
  for (const name of ['one', 'other']) {
    receipts.push(await writeStream(repository, { grant, name, cuts: 'given' }, partsOf(content), { directory }));
  }
  const { receipt } = await committed(grant, receipts);
  for (const name of ['one', 'other']) {
    expect((await read({ name: receipt.backup }, name)).equals(content)).toBe(true);
  }
  expect((await presentRoot(repository)).root.indexes[0]?.entries).toBe(1);
});

test('nothing is stored for a lock that was lost', async () => {
  const grant = await locked();
  await locked();
  store.calls.length = 0;
  await expect(
    writeStream(repository, { grant, name: 'dump', cuts: 'fixed' }, partsOf(randomBytes(10)), { directory }),
  ).rejects.toMatchObject({ code: 'LockLost' });
  for await (const { key } of store.list('packs/')) throw new Error(`${key} was stored`);
});

test('a stream that a backup has not is refused by name, and so is a name that is none', async () => {
  const { backup } = await stored('dump', 'fixed', Buffer.from('x'));
  await expect(read(backup, 'other')).rejects.toThrow(`backup ${backup.name} has no stream "other"; it has dump`);
  await expect(stored('../x', 'fixed')).rejects.toMatchObject({ code: 'BadInput' });
});

test('a pack that is altered is found out', async () => {
  const { backup, receipt } = await stored('dump', 'fixed', randomBytes(500));
  expect(receipt.upload?.packCount).toBe(1);
  for await (const { key } of store.list(keys.pack(''))) store.objects.get(key)!.body[100]! ^= 1;
  await expect(read(backup, 'dump')).rejects.toMatchObject({ code: 'ObjectDamaged' });
});

test('plugin data that belongs into a stream, and a required backup that is gone, are refused', async () => {
  const grant = await locked();
  const data = 'x'.repeat(70_000);
  await expect(committed(grant, [], { plugin: { name: 'x', version: 1, data } })).rejects.toMatchObject({
    code: 'PluginFailed',
    message: expect.stringContaining('70002 bytes'),
  });
  await expect(committed(grant, [], { requires: ['2025'] })).rejects.toThrow('requires 2025, which is not listed');
  const base = (await committed(grant, [])).receipt.backup;
  await committed(await locked(), [], { requires: [base], started: '2026-01-02T00:00:00.000Z' });
  expect((await presentRoot(repository)).root.backups.at(-1)).toMatchObject({ requires: [base] });
});
