import { randomBytes } from 'node:crypto';
import type { RootDocument } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import { hasCode } from '../domain/errors.ts';
import { damaged, openObject, sealObject } from './block.ts';
import type { CallOptions } from './objectStore.ts';
import type { Repository } from './repository.ts';
import { readObject } from './repository.ts';
import { KEY_BYTES } from './sealing.ts';

/**
 * Data keys seal what is large, each generation until the next. They are random, so that one that leaked says nothing of
 * another, and each has an object of its own, `keys/generation-<number>`, sealed with a key of the master key's: so every
 * slot leads to all of them, and what can be rebuilt without a root can be read without one. The root says which is used.
 */

const placeOf = (generation: number) => ({ kind: 'dataKey', key: keys.dataKey(generation) }) as const;

/** What a root brings: the data keys of all that it leads to. One that is lost is missed when something needs it. */
export async function takeUpDataKeys(
  repository: Repository,
  root: Pick<RootDocument, 'number' | 'keys'>,
  options: CallOptions = {},
): Promise<void> {
  const { unlocked } = repository;
  if (!unlocked) return;
  const generation = root.keys?.generation ?? 0;
  if (!Number.isInteger(generation) || generation < 1 || !Array.isArray(root.keys?.slots)) {
    throw damaged({ kind: 'root', key: keys.root(root.number) }, 'it does not say which keys are used');
  }
  const { generations } = unlocked.keys;
  const unknown = Array.from({ length: generation }, (_, place) => place + 1).filter((one) => !generations.has(one));
  await Promise.all(
    unknown.map(async (one) => {
      try {
        generations.set(one, await readDataKey(repository, one, options));
      } catch (error) {
        if (!hasCode(error, 'ObjectMissing', 'ObjectDamaged')) throw error;
      }
    }),
  );
  unlocked.keys.present = Math.max(unlocked.keys.present, generation);
}

/** The data key of a new generation: what was made of it before, by somebody who never used it, is as good. */
export async function makeDataKey(
  repository: Repository,
  generation: number,
  options: CallOptions = {},
): Promise<void> {
  const place = placeOf(generation);
  await repository.store.create(place.key, sealObject(repository.sealing, place, randomBytes(KEY_BYTES), 0), options);
  await readDataKey(repository, generation, options);
}

/** As it stands in the storage. `ObjectMissing`, `ObjectDamaged`. */
export async function readDataKey(repository: Repository, generation: number, options: CallOptions): Promise<Buffer> {
  const place = placeOf(generation);
  const key = openObject(repository.sealing, place, await readObject(repository, place.kind, place.key, options));
  if (key.length !== KEY_BYTES) throw damaged(place, 'it is no key');
  return key;
}
