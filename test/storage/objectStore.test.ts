import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { FileStore } from '../../src/storage/fileStore.ts';
import { describeStore, expectEndedMidway } from './objectStore.contract.ts';
import { ScriptedStore } from './scripted.ts';

describeStore('in memory', async () => {
  const store = new ScriptedStore();
  return { store, other: store, close: async () => undefined };
});

describeStore('of a directory', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'homarus-store-'));
  const stores = [new FileStore(directory), new FileStore(directory)] as const;
  return { store: stores[0], other: stores[1], close: async () => rmSync(directory, { recursive: true }) };
});

describe('a directory as a store', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'homarus-store-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  test('that is not there is said to be unreachable, and is not made', async () => {
    const store = new FileStore(join(directory, 'gone'));
    await expect(store.create('a', Buffer.from('x'))).rejects.toMatchObject({ code: 'StoreUnreachable' });
    expect(readdirSync(directory)).toEqual([]);
  });

  test('takes nothing more from who may not write any more, not even the rest of an object', async () => {
    await expectEndedMidway((mayWrite) => new FileStore(directory, { mayWrite }));
  });

  test('is cleared of what a crash left half written, by its age', async () => {
    const store = new FileStore(directory);
    await store.create('a', Buffer.from('x'));
    mkdirSync(join(directory, '.partial'), { recursive: true });
    writeFileSync(join(directory, '.partial', 'left'), 'half');
    expect(await store.removeUnfinished(0)).toBe(0);
    expect(await store.removeUnfinished((await store.now()) + 10_000)).toBe(1);
    expect(readdirSync(join(directory, '.partial'))).toEqual([]);
  });

  test('says that it is full when the file system is', async () => {
    symlinkSync('/dev/full', join(directory, '.partial'));
    await expect(new FileStore(directory).create('a', Buffer.from('x'))).rejects.toThrow();
  });
});
