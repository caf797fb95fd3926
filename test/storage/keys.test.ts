import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { keys } from '../../src/domain/documents.ts';
import { hasCode } from '../../src/domain/errors.ts';
import { createRepository } from '../../src/storage/create.ts';
import { addSlot, listSlots, removeSlot, rotateDataKey } from '../../src/storage/keyChanges.ts';
import { acquireLock } from '../../src/storage/lock.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { openRepository } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import type { SecretSource } from '../../src/storage/secret.ts';
import { readSecret } from '../../src/storage/secret.ts';
import { encrypted, givenBackup, givenRepository, holderOf } from './given.ts';
import { readAll } from './readAll.ts';
import { ScriptedStore, unreachable } from './scripted.ts';

const { scrypt } = encrypted;
const other: SecretSource = { passphraseEnv: 'HOMARUS_TEST_OTHER' };
process.env.HOMARUS_TEST_OTHER = 'Tr0ub4dor&3';

let directory: string;
let keyFile: SecretSource;
let store: ScriptedStore;
let repository: Repository;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'homarus-keys-'));
  keyFile = { keyFile: join(directory, 'key') };
  await writeFile(join(directory, 'key'), Buffer.alloc(32, 7));
  ({ store, repository } = await givenRepository(encrypted));
});
afterEach(() => rm(directory, { recursive: true }));

const open = (encryption?: SecretSource) => openRepository(store, { cluster: 'east', encryption });
const slots = () => store.keys('keys/').filter((key) => !key.includes('generation'));
const slotOf = (id: string) => keys.slot(id);
const by = 'tester';
const add = async (source: SecretSource, target = repository) =>
  addSlot(target, await readSecret(source), { by, label: 'spare', scrypt });

describe('an encrypted repository', () => {
  test('is opened by its passphrase, and by nothing else', async () => {
    expect((await open(encrypted.encryption)).sealing).toEqual((await open(encrypted.encryption)).sealing);
    await expect(open()).rejects.toMatchObject({
      code: 'KeyMissing',
      message: 'memory holds an encrypted repository, and no key is configured for it',
    });
    for (const [source, named] of [
      [other, 'the passphrase in the environment variable HOMARUS_TEST_OTHER'],
      [keyFile, 'the key file'],
    ] as const) {
      await expect(open(source)).rejects.toMatchObject({ code: 'KeyWrong', message: expect.stringContaining(named) });
    }
  });

  test('of which the key slots are gone says so', async () => {
    for (const key of slots()) store.objects.delete(key);
    await expect(open(encrypted.encryption)).rejects.toMatchObject({
      code: 'ObjectMissing',
      message: expect.stringContaining('none of its key slots'),
    });
  });

  test.each([
    ['is no JSON', 'not a key slot', () => Buffer.from('{')],
    ['asks for all memory', 'N=1073741824', (slot: string) => Buffer.from(slot.replace('"n":16', '"n":1073741824'))],
    [
      'asks for a cost that scrypt has not',
      'not a key slot',
      (s: string) => Buffer.from(s.replace('"n":16', '"n":17')),
    ],
  ])('whose only slot %s names it', async (_, what, change) => {
    const [key] = slots() as [string];
    store.put(key, change(store.objects.get(key)!.body.toString()));
    await expect(open(encrypted.encryption)).rejects.toMatchObject({
      code: 'ObjectDamaged',
      message: expect.stringMatching(new RegExp(`^${key}.*${what}`)),
    });
  });

  test('is not mistaken for a plain one that somebody put in its place, nor for itself with other parameters', async () => {
    const plain = await givenRepository();
    await expect(openRepository(plain.store, encrypted)).rejects.toMatchObject({
      code: 'KeyWrong',
      message: expect.stringContaining('is not encrypted, and a key is configured'),
    });
    const parameters = store.objects.get('repository.json')!.body.toString();
    store.put('repository.json', Buffer.from(parameters.replace('"minimum": 65536', '"minimum": 64')));
    await expect(open(encrypted.encryption)).rejects.toMatchObject({
      code: 'ObjectDamaged',
      message: expect.stringContaining('repository.json'),
    });
  });

  test('is opened by a slot under its own name in its own repository alone', async () => {
    const [key] = slots() as [string];
    const { body } = store.objects.get(key)!;
    store.objects.delete(key);
    store.put(slotOf('0123456789abcdef'), body);
    await expect(open(encrypted.encryption)).rejects.toMatchObject({ code: 'KeyWrong' });
    const foreign = await givenRepository(encrypted);
    foreign.store.objects.clear();
    for (const [name, object] of store.objects) foreign.store.put(name, object.body);
    store.put(key, body);
    expect((await open(encrypted.encryption)).unlocked?.slot).toBe(key.slice('keys/'.length));
  });
});

describe('a secret', () => {
  const refused = (source: SecretSource, message: string) =>
    expect(readSecret(source)).rejects.toMatchObject({ code: 'KeyMissing', message: expect.stringContaining(message) });

  test('is read from a file, the environment or a command, without line ends at its end', async () => {
    const file = join(directory, 'passphrase');
    await writeFile(file, 'pass word\r\n\n');
    const expected = { kind: 'passphrase', bytes: Buffer.from('pass word') };
    expect(await readSecret({ passphraseFile: file })).toEqual(expected);
    expect(await readSecret({ passphraseCommand: `cat ${file}` })).toEqual(expected);
    expect((await readSecret(other)).bytes.toString()).toBe('Tr0ub4dor&3');
    expect(await readSecret(keyFile)).toEqual({ kind: 'keyFile', bytes: Buffer.alloc(32, 7) });
  });

  test('that is not to be had is told by its place, and what a command said is kept back', async () => {
    await refused({ passphraseFile: join(directory, 'none') }, 'ENOENT');
    await refused({ passphraseEnv: 'HOMARUS_TEST_NONE' }, 'HOMARUS_TEST_NONE cannot be had: it is empty');
    await refused({ passphraseCommand: 'true' }, 'it is empty');
    const failed = readSecret({ passphraseCommand: 'echo s3cret; echo s3cret >&2; exit 7' });
    await expect(failed).rejects.toMatchObject({
      message: 'the passphrase that the command prints cannot be had: the command ended with code 7',
    });
    await writeFile(join(directory, 'short'), 'short');
    await refused({ keyFile: join(directory, 'short') }, 'it has 5 bytes; give at least 32 random ones');
  });
});

describe('key slots', () => {
  test('are added and removed, each opens the repository as long as it is there', async () => {
    const id = await add(keyFile);
    const first = (repository.unlocked as { slot: string }).slot;
    const listed = await listSlots(repository, await presentRoot(repository));
    expect(listed).toMatchObject([
      { id: first, kind: 'passphrase', used: true, label: '' },
      { id, kind: 'keyFile', used: false, label: 'spare', by },
    ]);
    const opened = await open(keyFile);
    await removeSlot(opened, first, { by });
    expect(slots()).toEqual([slotOf(id)]);
    await expect(open(encrypted.encryption)).rejects.toMatchObject({ code: 'KeyWrong' });
    expect(await listSlots(opened, await presentRoot(opened))).toMatchObject([{ id, used: true }]);
  });

  test('the last one stays, and so does what is not there', async () => {
    const { slot } = repository.unlocked as { slot: string };
    await expect(removeSlot(repository, slot, { by })).rejects.toMatchObject({
      code: 'BadInput',
      message: expect.stringContaining('is the last one'),
    });
    await expect(removeSlot(repository, 'none', { by })).rejects.toMatchObject({ code: 'BadInput' });
    expect((await presentRoot(repository)).root.holder).toBeNull();
    await open(encrypted.encryption);
  });

  test('two removals at once never take the last', async () => {
    const { slot } = repository.unlocked as { slot: string };
    const id = await add(other);
    const outcomes = await Promise.allSettled([slot, id].map((one) => removeSlot(repository, one, { by })));
    expect(outcomes.some(({ status }) => status === 'rejected')).toBe(true);
    expect(slots().length).toBeGreaterThan(0);
    expect((await presentRoot(repository)).root.keys?.slots.map(slotOf)).toEqual(slots());
  });

  test('a removal that sleeps between its commit and its delete removes no slot that was added since', async () => {
    const id = await add(other);
    const { slot } = repository.unlocked as { slot: string };
    let since = '';
    store.next('remove', 'keys/', async (pass) => {
      since = await add(keyFile);
      return pass();
    });
    await removeSlot(repository, id, { by });
    expect(slots().sort()).toEqual([slotOf(slot), slotOf(since)].sort());
  });

  test('nothing changes while an operation holds the lock', async () => {
    await acquireLock(repository, holderOf('nightly'), { nonce: 'lock' });
    await expect(rotateDataKey(repository, { by })).rejects.toMatchObject({ code: 'LockHeld' });
  });

  test('a plain repository has none', async () => {
    const plain = await givenRepository();
    await expect(rotateDataKey(plain.repository, { by })).rejects.toMatchObject({
      code: 'KeyMissing',
      message: expect.stringContaining('not encrypted'),
    });
  });
});

describe('rotation', () => {
  test('seals what comes after it with another key, and everything stays readable by everybody', async () => {
    await givenBackup(repository, 'before', [['a', 'b']]);
    const early = await open(encrypted.encryption);
    await presentRoot(early);
    const late = await add(keyFile);
    expect(await rotateDataKey(repository, { by })).toBe(2);
    await givenBackup(repository, 'after', [['a', 'c']]);
    const generations = store.keys('packs/').map((key) => store.objects.get(key)!.body.readUInt32LE(8));
    expect(generations).toEqual([1, 2]);
    for (const reader of [early, await open(keyFile), repository]) {
      expect(await readAll(reader)).toEqual({ before: ['a', 'b'], after: ['a', 'c'] });
    }
    expect((await open(keyFile)).unlocked?.slot).toBe(late);
  });

  test('leaves documents with the master key: a data key opens none of them', async () => {
    await rotateDataKey(repository, { by });
    await givenBackup(repository, 'after', [['a']]);
    const generationOf = (key: string) => store.objects.get(key)!.body.readUInt32LE(8);
    for (const prefix of ['roots/', 'manifests/', 'leases/', 'keys/generation']) {
      expect(new Set(store.keys(prefix).map(generationOf))).toEqual(new Set([0]));
    }
    for (const prefix of ['packs/', 'indexes/'])
      expect(new Set(store.keys(prefix).map(generationOf))).toEqual(new Set([2]));
  });

  test('of which the former data key is lost costs what was sealed with it, and no more', async () => {
    await givenBackup(repository, 'before', [['a']]);
    await rotateDataKey(repository, { by });
    await givenBackup(repository, 'after', [['b']]);
    store.objects.delete(keys.dataKey(1));
    const opened = await open(encrypted.encryption);
    const read = await readAll(opened);
    expect(read.after).toEqual(['b']);
    // Its index was sealed with it, too.
    expect(read.before).toMatch(/no index in memory names chunk/);
  });
});

describe('a stop at any request', () => {
  /** Fails the k-th mutation and all after it, before it is done or after. */
  async function stopAt(k: number, after: boolean, work: () => Promise<unknown>): Promise<boolean> {
    let count = 0;
    let dead = false;
    const { step } = store;
    const before = new Set<object>();
    store.step = async (call) => {
      if (dead) throw unreachable();
      const isAfter = before.has(call);
      before.add(call);
      if (!['create', 'overwrite', 'remove'].includes(call.verb) || isAfter !== after) return;
      if (++count === k) {
        dead = true;
        throw unreachable();
      }
    };
    try {
      await work();
    } catch (error) {
      if (!hasCode(error, 'StoreUnreachable', 'CommitInDoubt')) throw error;
    } finally {
      store.step = step;
    }
    return dead;
  }

  const everywhere = async (work: () => Promise<unknown>, check: () => Promise<void>, begin: () => Promise<void>) => {
    let points = 0;
    for (const after of [false, true]) {
      for (let k = 1; ; k++) {
        await begin();
        const stopped = await stopAt(k, after, work);
        // A lock that a stopped change left is free after its time.
        store.clock += 120_000;
        await check();
        if (!stopped) break;
        points++;
      }
    }
    expect(points).toBeGreaterThan(7);
  };

  const patience = 1;
  const begin = async () => {
    ({ store, repository } = await givenRepository(encrypted));
    await givenBackup(repository, 'nightly', [['a', 'b']]);
  };
  const usable = async () => {
    const opened = await open(encrypted.encryption);
    expect(await readAll(opened)).toMatchObject({ nightly: ['a', 'b'] });
    const { slots: counted } = (await presentRoot(opened)).root.keys!;
    for (const id of counted) expect(slots()).toContain(slotOf(id));
    await rotateDataKey(opened, { by });
    expect((await presentRoot(opened)).root.keys?.slots.map(slotOf).sort()).toEqual(slots());
    await givenBackup(opened, 'next', [['c']]);
    expect(await readAll(await open(encrypted.encryption))).toMatchObject({ nightly: ['a', 'b'], next: ['c'] });
  };

  test('of an addition leaves the repository usable, and no slot that does not count after the next change', () =>
    everywhere(
      async () => addSlot(repository, await readSecret(other), { by, label: '', scrypt, patience }),
      usable,
      begin,
    ));

  test('of a removal does, too', async () => {
    let spare = '';
    const beginWithTwo = async () => {
      await begin();
      spare = await add(other);
    };
    await everywhere(() => removeSlot(repository, spare, { by, patience }), usable, beginWithTwo);
  });

  test('of a rotation does, too', () => everywhere(() => rotateDataKey(repository, { by, patience }), usable, begin));

  test('of an init leaves something that the next one finishes', () =>
    everywhere(
      () => createRepository(store, { cluster: 'east', ...encrypted }),
      async () => {
        await createRepository(store, { cluster: 'east', ...encrypted }).catch((error: unknown) => {
          if (!hasCode(error, 'RepositoryExists')) throw error;
        });
        repository = await open(encrypted.encryption);
        await givenBackup(repository, 'nightly', [['a', 'b']]);
        await usable();
      },
      async () => {
        store = new ScriptedStore();
      },
    ));

  test('of several inits at once with keys of their own makes one repository, which its maker opens', async () => {
    store = new ScriptedStore();
    const sources = [encrypted.encryption, other, keyFile];
    const made = await Promise.allSettled(
      sources.map((encryption) => createRepository(store, { cluster: 'east', encryption, scrypt })),
    );
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(slots()).toHaveLength(1);
    const opened = await Promise.allSettled(sources.map(open));
    expect(opened.map(({ status }) => status)).toEqual(made.map(({ status }) => status));
  });
});
