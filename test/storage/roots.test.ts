import { beforeEach, describe, expect, test } from '@jest/globals';
import type { RootDocument } from '../../src/domain/documents.ts';
import { keys } from '../../src/domain/documents.ts';
import { HomarusError } from '../../src/domain/errors.ts';
import { acquireLock, releaseLock } from '../../src/storage/lock.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { readAnew, sealJson } from '../../src/storage/repository.ts';
import type { RootAt } from '../../src/storage/roots.ts';
import { commit, presentRoot, sweepRoots } from '../../src/storage/roots.ts';
import { backupOf, givenRepository, holderOf } from './given.ts';
import type { ScriptedStore } from './scripted.ts';
import { unreachable } from './scripted.ts';

let store: ScriptedStore;
let repository: Repository;
/** The root that took the lock. */
let planned: RootAt;

beforeEach(async () => {
  ({ store, repository } = await givenRepository());
  planned = (await acquireLock(repository, holderOf('nightly'), { nonce: 'lock' })).at;
  store.calls.length = 0;
});

const withBackup = (name: string) => (draft: RootDocument) => ({
  ...draft,
  backups: [...draft.backups, backupOf(name, draft.epoch)],
});
const next = (): string => keys.root(planned.root.number + 1);
const removals = () => store.calls.filter(({ verb }) => verb === 'remove');

describe('a commit', () => {
  test('moves the repository to the next root, which names its predecessor', async () => {
    const committed = await commit(repository, planned, withBackup('a'), 'n1');
    expect(committed).toMatchObject({ result: 'stands', at: { root: { number: 3, previous: planned.hash } } });
    const { root } = await presentRoot(repository);
    expect(root.backups.map(({ name }) => name)).toEqual(['a']);
  });

  test('keeps what newer versions wrote into the root', async () => {
    const change = (draft: RootDocument) => ({ ...draft, colour: 'red' }) as RootDocument;
    const first = await commit(repository, planned, change, 'n1');
    if (first.result === 'lost') throw new Error('lost');
    await commit(repository, first.at, withBackup('a'), 'n2');
    expect((await presentRoot(repository)).root).toMatchObject({ colour: 'red', number: 4 });
  });

  test('is lost to the other of two on one plan, and deletes nothing', async () => {
    const [a, b] = await Promise.all([
      commit(repository, planned, withBackup('a'), 'na'),
      commit(repository, planned, withBackup('b'), 'nb'),
    ]);
    expect([a.result, b.result].sort()).toEqual(['lost', 'stands']);
    const lost = a.result === 'lost' ? a : b;
    const won = a.result === 'lost' ? 'b' : 'a';
    expect(lost).toMatchObject({ highest: { root: { backups: [{ name: won }] } } });
    expect(removals()).toEqual([]);
  });

  test('stands when its own delayed write is what answers "exists"', async () => {
    store.next('create', 'roots/', async (pass) => {
      await pass();
      return pass();
    });
    expect(await commit(repository, planned, withBackup('a'), 'n1')).toMatchObject({ result: 'stands' });
  });

  test('stands when it was written and the answer was lost', async () => {
    store.next('create', 'roots/', async (pass) => {
      await pass();
      throw unreachable();
    });
    expect(await commit(repository, planned, withBackup('a'), 'n1')).toMatchObject({ result: 'stands' });
  });

  test('of a sleeper that creates a swept number does not stand', async () => {
    let at = planned;
    for (let count = 0; count < 25; count++) {
      const committed = await commit(repository, at, (draft) => draft, `other${count}`);
      if (committed.result === 'stands') at = committed.at;
    }
    await presentRoot(repository);
    await sweepRoots(repository, at);
    expect(store.objects.has(next())).toBe(false);
    const late = await commit(repository, planned, withBackup('late'), 'sleeper');
    expect(store.objects.has(next())).toBe(true);
    expect(late).toMatchObject({ result: 'lost', highest: { root: { number: at.root.number } } });
    expect((await presentRoot(repository)).root.backups).toEqual([]);
  });

  test('that gets no answer is sent again, the same bytes', async () => {
    const sent: unknown[] = [];
    const create = store.create.bind(store);
    store.create = (key, body) => {
      sent.push(body);
      return create(key, body);
    };
    store.next('create', 'roots/', () => Promise.reject(unreachable()));
    expect(await commit(repository, planned, withBackup('a'), 'n1')).toMatchObject({ result: 'stands' });
    expect(sent).toHaveLength(2);
    expect(sent[1]).toBe(sent[0]);
  });

  test('that is written but cannot be looked at yet is looked at again', async () => {
    store.next('list', 'roots/', () => Promise.reject(unreachable()));
    expect(await commit(repository, planned, withBackup('a'), 'n1')).toMatchObject({ result: 'stands' });
  });

  test('is in doubt, not failed, when nobody answers', async () => {
    store.next('create', 'roots/', () => Promise.reject(unreachable()));
    await expect(commit(repository, planned, withBackup('a'), 'n1', { patience: 0 })).rejects.toMatchObject({
      code: 'CommitInDoubt',
      message: `whether ${next()} was written to memory is not known: memory does not answer`,
    });
  });

  test('that is cancelled after it was sent is in doubt, and before is not sent', async () => {
    const stop = new AbortController();
    store.next('create', 'roots/', () => {
      stop.abort();
      throw stop.signal.reason;
    });
    const { signal } = stop;
    await expect(commit(repository, planned, withBackup('a'), 'n1', { signal })).rejects.toMatchObject({
      code: 'CommitInDoubt',
    });
    store.calls.length = 0;
    await expect(commit(repository, planned, withBackup('a'), 'n1', { signal })).rejects.toMatchObject({
      name: 'AbortError',
    });
    expect(store.calls).toEqual([]);
  });

  test('that the storage refuses fails as such, unless an earlier request may still arrive', async () => {
    const full = (): never => {
      throw new HomarusError('StoreFull', 'memory is full');
    };
    store.next('create', 'roots/', full);
    await expect(commit(repository, planned, withBackup('a'), 'n1')).rejects.toMatchObject({ code: 'StoreFull' });
    store.next('create', 'roots/', () => Promise.reject(unreachable()));
    store.next('create', 'roots/', full);
    await expect(commit(repository, planned, withBackup('a'), 'n1', { patience: 60 })).rejects.toMatchObject({
      code: 'CommitInDoubt',
    });
  });

  test('that is repeated with its nonce answers as before, on its plan and on its result', async () => {
    const first = await commit(repository, planned, withBackup('a'), 'n1');
    expect(await commit(repository, planned, withBackup('a'), 'n1')).toEqual(first);
    const at = await presentRoot(repository);
    expect(await commit(repository, at, withBackup('a'), 'n1')).toEqual(first);
    expect((await presentRoot(repository)).root.backups).toHaveLength(1);
  });

  test('that is planned on a root without a holder is late', async () => {
    await releaseLock(repository, planned.root.epoch, 'release');
    const free = await presentRoot(repository);
    await expect(commit(repository, free, withBackup('late'), 'n1')).rejects.toMatchObject({ code: 'LockLost' });
  });
});

describe('the present root', () => {
  /** What the process read before. */
  let before: Repository;

  beforeEach(() => {
    before = repository;
    repository = readAnew(repository);
  });

  test('costs one listing from the cached number on, and one read when it moved', async () => {
    expect(await presentRoot(repository, { cached: planned })).toBe(planned);
    expect(store.calls.map(({ verb }) => verb)).toEqual(['list']);
    await commit(before, planned, withBackup('a'), 'n1');
    store.calls.length = 0;
    expect((await presentRoot(repository, { cached: planned })).root.number).toBe(3);
    expect(store.calls.map(({ verb }) => verb)).toEqual(['list', 'read']);
  });

  test('that was read before costs one listing', async () => {
    expect(await presentRoot(before)).toBe(planned);
    expect(store.calls.map(({ verb }) => verb)).toEqual(['list']);
  });

  test('is read again where another one was put in its place', async () => {
    const other = sealRoot({ number: 2, nonce: 'another' }, 2);
    expect(other.length).not.toBe(planned.length);
    const { modified } = store.objects.get(keys.root(2)) as { modified: number };
    store.objects.set(keys.root(2), { body: other, modified });
    expect((await presentRoot(before)).root.nonce).toBe('another');
    store.objects.set(keys.root(2), { body: sealRoot({ number: 2, nonce: 'a third' }, 2), modified: modified + 1 });
    expect((await presentRoot(before)).root.nonce).toBe('a third');
  });

  test('is listed again when it was swept before it was read', async () => {
    store.next('read', 'roots/', () => {
      store.objects.set(next(), { body: sealRoot({ number: 3 }), modified: store.clock });
      store.objects.delete(keys.root(2));
      return undefined;
    });
    expect((await presentRoot(repository)).root.number).toBe(3);
  });

  test('that is listed but cannot be read says so', async () => {
    store.next('read', 'roots/', () => undefined);
    store.next('read', 'roots/', () => undefined);
    await expect(presentRoot(repository)).rejects.toMatchObject({ code: 'ObjectMissing' });
  });

  test('is refused when a byte of it was altered', async () => {
    const body = store.objects.get(keys.root(2))?.body as Buffer;
    for (const place of [4, 12, 40, body.length - 1]) {
      body[place]! ^= 1;
      await expect(presentRoot(repository)).rejects.toMatchObject({ code: 'ObjectDamaged' });
      body[place]! ^= 1;
    }
  });

  test('is refused when it was put under another number', async () => {
    store.put(next(), store.objects.get(keys.root(2))?.body as Buffer);
    await expect(presentRoot(repository)).rejects.toMatchObject({ code: 'ObjectDamaged' });
  });

  test('is refused when it says that it has another number', async () => {
    store.put(next(), sealRoot({ number: 4 }));
    await expect(presentRoot(repository)).rejects.toMatchObject({ code: 'ObjectDamaged' });
  });

  test('is refused when it needs what this version does not know', async () => {
    store.put(next(), sealRoot({ number: 3, features: ['wings'] }));
    await expect(presentRoot(repository)).rejects.toMatchObject({
      code: 'RepositoryIncompatible',
      message: expect.stringContaining('wings'),
    });
    store.put(next(), sealRoot({ number: 3, version: 2 }));
    await expect(presentRoot(repository)).rejects.toMatchObject({ code: 'RepositoryIncompatible' });
  });

  test('that fell below what was seen in this process is a roll-back', async () => {
    store.objects.delete(keys.root(2));
    await expect(presentRoot(repository, { cached: planned })).rejects.toMatchObject({ code: 'RolledBack' });
  });

  test('that never was points to init, one that was lost to repair', async () => {
    for (const key of store.keys('roots/')) store.objects.delete(key);
    await expect(presentRoot(repository)).rejects.toMatchObject({
      code: 'NoRepository',
      hint: expect.stringContaining('homarus init'),
    });
    store.put('packs/0000000000000001/00000000000000aa', Buffer.from('x'));
    await expect(presentRoot(repository)).rejects.toMatchObject({
      code: 'ObjectMissing',
      hint: expect.stringContaining('homarus repair'),
    });
  });

  const sealRoot = (change: Record<string, unknown>, number = planned.root.number + 1): Buffer =>
    sealJson(repository, { kind: 'root', key: keys.root(number) }, { ...planned.root, ...change });
});

test('a sweep of the roots leaves the last 20', async () => {
  let at = planned;
  for (let count = 0; count < 30; count++) {
    const committed = await commit(repository, at, (draft) => draft, `n${count}`);
    if (committed.result === 'stands') at = committed.at;
  }
  await presentRoot(repository);
  await sweepRoots(repository, at);
  expect(store.keys('roots/')).toEqual(
    Array.from({ length: 20 }, (_, place) => keys.root(at.root.number - 19 + place)),
  );
});
