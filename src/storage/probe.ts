import { HomarusError } from '../domain/errors.ts';
import { randomPart } from './ids.ts';
import type { CallOptions, ObjectStore } from './objectStore.ts';

/** Racers for one key; more than most storages have front ends. */
const RACERS = 20;
const ROUNDS = 2;

/**
 * Proves with real requests that a storage keeps the promises that commits rest on; some S3 servers and network file
 * systems do not. `StorageUnsuitable` says which promise was broken. What it wrote is removed again.
 */
export async function proveStorage(store: ObjectStore, options: CallOptions = {}): Promise<void> {
  // Epoch 0, before all: what a killed probe left is swept by any cleanup.
  const prefix = `staging/0000000000000000-probe${randomPart()}/`;
  const used = Array.from({ length: ROUNDS }, (_, round) => `${prefix}${round}`);
  try {
    for (const key of used) await proveKey(store, prefix, key, options);
  } finally {
    await store.remove(used, options);
  }
  if ((await listed(store, prefix, options)).length > 0) throw broken(store, 'it lists objects that were removed');
}

async function proveKey(store: ObjectStore, prefix: string, key: string, options: CallOptions): Promise<void> {
  const bodies = Array.from({ length: RACERS }, (_, racer) => Buffer.from(`racer ${racer}`));
  const answers = await Promise.all(bodies.map((body) => store.create(key, body, options)));
  const winners = bodies.filter((_, racer) => answers[racer] === 'created');
  if (winners.length !== 1) {
    throw broken(store, `of ${RACERS} that created one object at once, ${winners.length} were told that they did`);
  }
  const winner = winners[0] as Buffer;
  if (!(await store.read(key, undefined, options))?.equals(winner)) {
    throw broken(store, 'the object that a racing create made is not what is read');
  }
  if ((await store.create(key, Buffer.from('late'), options)) !== 'exists') {
    throw broken(store, 'an object that was there could be created once more');
  }
  if (!(await store.read(key, undefined, options))?.equals(winner)) {
    throw broken(store, 'a refused create changed the object');
  }
  if (!(await listed(store, prefix, options)).includes(key))
    throw broken(store, 'it does not list what it just stored');
  await store.overwrite(key, Buffer.from('lease'), options);
  if ((await store.read(key, undefined, options))?.toString() !== 'lease') {
    throw broken(store, 'it answers an object that was overwritten');
  }
  await store.remove([key], options);
  if ((await listed(store, prefix, options)).includes(key)) throw broken(store, 'it lists an object that was removed');
  if ((await store.read(key, undefined, options)) !== undefined) {
    throw broken(store, 'it answers an object that was removed');
  }
}

async function listed(store: ObjectStore, prefix: string, options: CallOptions): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list(prefix, options)) found.push(key);
  return found;
}

const broken = (store: ObjectStore, what: string): HomarusError =>
  new HomarusError('StorageUnsuitable', `${store.description} cannot hold a repository: ${what}`);
