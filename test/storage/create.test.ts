import { beforeEach, describe, expect, test } from '@jest/globals';
import { keys } from '../../src/domain/documents.ts';
import { createRepository } from '../../src/storage/create.ts';
import { acquireLock, releaseLock } from '../../src/storage/lock.ts';
import { openRepository } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import { holderOf } from './given.ts';
import { ScriptedStore, unreachable } from './scripted.ts';

let store: ScriptedStore;
const create = (cluster = 'east') => createRepository(store, { cluster });

beforeEach(() => {
  store = new ScriptedStore();
});

describe('init', () => {
  test('writes the parameters and the first root, and nothing else stays', async () => {
    const { repository, at } = await create();
    expect(store.keys('')).toEqual(['repository.json', keys.root(1)]);
    expect(at.root).toMatchObject({
      version: 1,
      number: 1,
      cluster: 'east',
      epoch: 0,
      holder: null,
      floor: 0,
      swept: 0,
    });
    const opened = await openRepository(store, { cluster: 'east' });
    expect(opened.parameters).toEqual(repository.parameters);
    expect(opened.parameters).toMatchObject({
      id: expect.stringMatching(/^[0-9a-f]{32}$/),
      chunker: { kind: 'fixed', size: 8388608, minimum: 65536, inline: 128 },
      pack: { size: 33554432, block: 1048576 },
      encryption: null,
    });
    expect(await presentRoot(opened)).toEqual(at);
  });

  test('of a repository that is there changes nothing and says whose it is', async () => {
    await create();
    const before = new Map(store.objects);
    await expect(create()).rejects.toMatchObject({ code: 'RepositoryExists' });
    await expect(create('west')).rejects.toMatchObject({
      code: 'ForeignRepository',
      message: 'memory holds the repository of cluster "east", not of "west"',
    });
    expect(store.objects).toEqual(before);
  });

  test('that was killed before its root is finished by the next', async () => {
    store.next('create', 'roots/', () => Promise.reject(unreachable()));
    await expect(create()).rejects.toMatchObject({ code: 'StoreUnreachable' });
    const parameters = store.objects.get('repository.json')?.body;
    await expect(create('west')).rejects.toMatchObject({ code: 'ForeignRepository' });
    const { at } = await create();
    expect(at.root).toMatchObject({ number: 1, cluster: 'east' });
    expect(store.objects.get('repository.json')?.body).toEqual(parameters);
  });

  test('of several at once makes one repository', async () => {
    const answers = await Promise.allSettled([create(), create(), create('west'), create('west')]);
    const made = answers.filter(({ status }) => status === 'fulfilled');
    expect(made).toHaveLength(1);
    expect(store.keys('')).toEqual(['repository.json', keys.root(1)]);
    for (const answer of answers) {
      if (answer.status === 'fulfilled') continue;
      expect(['RepositoryExists', 'ForeignRepository']).toContain((answer.reason as { code: string }).code);
    }
  });

  test('that slept while the first roots were swept does not take its own for the present one', async () => {
    store.next('create', 'roots/', async (pass) => {
      const { repository } = await create();
      for (let round = 1; round < 15; round++) {
        const { epoch } = await acquireLock(repository, holderOf(`backup${round}`), { nonce: `lock${round}` });
        await releaseLock(repository, epoch, `release${round}`);
      }
      expect(store.objects.has(keys.root(1))).toBe(false);
      return pass();
    });
    await expect(create()).rejects.toMatchObject({ code: 'RepositoryExists' });
    expect(store.objects.has(keys.root(1))).toBe(true);
  });

  test('refuses a prefix that lost its roots or parameters, and points to repair', async () => {
    const { repository } = await create();
    store.objects.delete(keys.root(1));
    store.put('manifests/a~0000000000000001-00000000000000aa', Buffer.from('x'));
    await expect(create()).rejects.toMatchObject({
      code: 'ObjectMissing',
      hint: expect.stringContaining('homarus repair'),
    });
    store.objects.delete('repository.json');
    await expect(create()).rejects.toMatchObject({
      code: 'ObjectMissing',
      message: expect.stringContaining('but no repository.json'),
    });
    expect(repository.parameters.cluster).toBe('east');
  });
});

describe('init refuses a storage that breaks its word', () => {
  const refused = (what: string) =>
    expect(create()).rejects.toMatchObject({
      code: 'StorageUnsuitable',
      message: `memory cannot hold a repository: ${what}`,
    });
  const afterwards = () => expect(store.keys('')).toEqual([]);

  test('two racing creators both told that they created', async () => {
    const honest = store.create.bind(store);
    store.create = async (key, body) => {
      await honest(key, body);
      return 'created';
    };
    await refused('of 20 that created one object at once, 20 were told that they did');
    afterwards();
  });

  test('the last of racing creators wins the object', async () => {
    const honest = store.create.bind(store);
    store.create = async (key, body) => {
      const answer = await honest(key, body);
      store.put(key, Buffer.from(body as Uint8Array));
      return answer;
    };
    await refused('the object that a racing create made is not what is read');
    afterwards();
  });

  test('a create is honoured only while another is under way', async () => {
    const honest = store.create.bind(store);
    store.create = async (key, body) =>
      Buffer.from(body as Uint8Array).toString() === 'late' ? 'created' : honest(key, body);
    await refused('an object that was there could be created once more');
  });

  test('a refused create changes the object', async () => {
    const honest = store.create.bind(store);
    store.create = async (key, body) => {
      if (Buffer.from(body as Uint8Array).toString() === 'late') store.put(key, Buffer.from('late'));
      return honest(key, body);
    };
    await refused('a refused create changed the object');
  });

  const listings = (change: (probe: ListCall) => void) => {
    const honest = store.list.bind(store);
    const seen: ListCall = { count: 0, stale: [] };
    store.list = async function* (prefix, options) {
      if (!prefix.startsWith('staging/')) return yield* honest(prefix, options);
      seen.count++;
      seen.stale = [];
      for await (const object of honest(prefix, options)) seen.stale.push(object);
      change(seen);
      yield* seen.stale;
    };
  };
  type ListCall = {
    count: number;
    stale: Awaited<ReturnType<ScriptedStore['list']>> extends AsyncIterable<infer T> ? T[] : never;
  };

  test('an object is not listed at once', async () => {
    listings((seen) => {
      seen.stale = [];
    });
    await refused('it does not list what it just stored');
  });

  test('a removed object is listed still', async () => {
    let former: ListCall['stale'] = [];
    listings((seen) => {
      const now = seen.stale;
      seen.stale = seen.count === 2 ? former : now;
      former = now;
    });
    await refused('it lists an object that was removed');
  });

  test('an overwritten or removed object is read still', async () => {
    let leases = 0;
    const honest = store.overwrite.bind(store);
    store.overwrite = async (key, body) => {
      leases++;
      if (leases > 1) await honest(key, body);
    };
    await refused('it answers an object that was overwritten');
    const remove = store.remove.bind(store);
    const read = store.read.bind(store);
    const ghosts = new Map<string, Buffer>();
    store.remove = async (keysOf) => {
      for (const key of keysOf) ghosts.set(key, Buffer.from('ghost'));
      return remove(keysOf);
    };
    store.read = async (key, range) => (await read(key, range)) ?? ghosts.get(key);
    await refused('it answers an object that was removed');
  });
});
