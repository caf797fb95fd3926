import { leaseShape } from '../domain/documentShapes.ts';
import type { LeaseDocument, RootDocument } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import { HomarusError, isLoss } from '../domain/errors.ts';
import type { Damage } from '../domain/results.ts';
import type { BlockPlace } from './block.ts';
import { damaged, openObject } from './block.ts';
import { ChunkIndex, ENTRY_BYTES } from './chunkIndex.ts';
import { readDataKey } from './dataKeys.ts';
import { HASH_BYTES } from './hash.ts';
import { epochOf } from './ids.ts';
import { parseSlot, readSlotNote } from './keySlot.ts';
import type { CallOptions } from './objectStore.ts';
import type { Repository } from './repository.ts';
import { checkedJson, openJson, parseJson, REPOSITORY_KEY, readAnew } from './repository.ts';
import type { RootAt } from './roots.ts';
import { presentRoot, readRoot } from './roots.ts';
import { slotPlace } from './unlock.ts';

/** Verifying single objects; what they lead to is `verifyBackups.ts`. */

/** What `work` finds lost, as damage of the object with this key. */
export async function damageOf(
  kind: Damage['kind'],
  key: string,
  work: () => Promise<unknown>,
): Promise<Damage | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (!isLoss(error)) throw error;
    return { kind, key, code: error.code as Damage['code'], reason: error.message };
  }
}

/**
 * The present root for a verify. Where it is damaged and nothing else opens either, it is `repository.json` that is not the
 * one with which all was written: its id is a part of everything.
 */
export async function rootToVerify(repository: Repository, options: CallOptions = {}): Promise<RootAt> {
  try {
    return await presentRoot(readAnew(repository), options);
  } catch (error) {
    if (!isLoss(error) || (await anyOpens(repository, options))) throw error;
    const { store, parameters } = repository;
    throw new HomarusError(
      'ObjectDamaged',
      `${REPOSITORY_KEY} in ${store.description} is damaged or that of another repository: nothing there was written with its id ${parameters.id}`,
      { hint: `Put the ${REPOSITORY_KEY} back with which the repository was made.`, cause: error },
    );
  }
}

const TRIED = 20;

async function anyOpens(repository: Repository, options: CallOptions): Promise<boolean> {
  let tried = 0;
  for (const [prefix, kind] of [
    ['roots/', 'root'],
    ['manifests/', 'manifest'],
  ] as const) {
    for await (const { key } of repository.store.list(prefix, options)) {
      const stored = await repository.store.read(key, undefined, options);
      const damage =
        stored && (await damageOf('root', key, async () => openObject(repository.sealing, { kind, key }, stored)));
      if (stored && !damage) return true;
      if (++tried >= TRIED) break;
    }
  }
  return false;
}

/** Every page of every index, in its order. */
export async function* damagedIndexes(
  repository: Repository,
  { indexes }: Pick<RootDocument, 'indexes'>,
  options: CallOptions = {},
): AsyncGenerator<Damage> {
  for (const ref of indexes) {
    const damage = await damageOf('index', keys.index(ref.id), async () => {
      const index = await ChunkIndex.open(repository, ref, options);
      const place: BlockPlace = { kind: 'index', key: keys.index(ref.id) };
      const last = Buffer.alloc(HASH_BYTES);
      let entries = 0;
      for await (const page of index.pages(options)) {
        for (let at = 0; at < page.length; at += ENTRY_BYTES, entries++) {
          if (page.compare(last, 0, HASH_BYTES, at, at + HASH_BYTES) < 0) throw damaged(place, 'it is not sorted');
          page.copy(last, 0, at, at + HASH_BYTES);
          index.locationAt(page, at);
        }
      }
      if (entries !== ref.entries) throw damaged(place, `it has ${entries} entries, not ${ref.entries}`);
    });
    if (damage) yield damage;
  }
}

/**
 * The key slots that count, and the data keys that are needed: the present one and those that seal packs (`sealing`; all
 * where that is not known). One that nothing is sealed with any more may be gone.
 */
export async function* damagedKeys(
  repository: Repository,
  { keys: used }: Pick<RootDocument, 'keys'>,
  sealing: ReadonlySet<number> | undefined,
  options: CallOptions = {},
): AsyncGenerator<Damage> {
  const { store, unlocked } = repository;
  if (!unlocked || !used) return;
  for (const slot of used.slots) {
    const place = slotPlace(unlocked.repository, slot);
    const damage = await damageOf('slot', place.key, async () => {
      const stored = await store.read(place.key, undefined, options);
      if (stored === undefined) {
        throw new HomarusError('ObjectMissing', `key slot ${place.key} is missing in ${store.description}`);
      }
      if (readSlotNote(place, parseSlot(place, stored), unlocked.master)) return;
      throw new HomarusError('ObjectDamaged', `${place.key} is damaged: it is no key slot of this repository`);
    });
    if (damage) yield damage;
  }
  for (let generation = 1; generation <= used.generation; generation++) {
    if (generation < used.generation && sealing?.has(generation) === false) continue;
    const damage = await damageOf('dataKey', keys.dataKey(generation), () =>
      readDataKey(repository, generation, options),
    );
    if (damage) yield damage;
  }
}

/** What no backup needs: former roots, marks, leases, staged lists. */
export async function* damagedOthers(
  repository: Repository,
  at: RootAt,
  options: CallOptions = {},
): AsyncGenerator<Damage> {
  yield* damagedRoots(repository, at, options);
  for await (const { key } of repository.store.list('marks/', options)) {
    yield* await damagedObject(repository, key, (stored) => openJson(repository, { kind: 'mark', key }, stored));
  }
  for await (const { key } of repository.store.list('leases/', options)) {
    yield* await damagedObject(repository, key, (stored) => checkLease(repository, key, stored));
  }
  for await (const { key } of repository.store.list('staging/', options)) {
    yield* await damagedObject(repository, key, (stored) =>
      openObject(repository.sealing, { kind: 'staged', key }, stored),
    );
  }

  async function damagedObject(
    { store }: Repository,
    key: string,
    check: (stored: Buffer) => unknown,
  ): Promise<Damage[]> {
    const kind = ({ m: 'mark', l: 'lease', s: 'staged' } as const)[key[0] as 'm' | 'l' | 's'];
    const stored = await store.read(key, undefined, options);
    // Gone since it was listed: whoever it belonged to has ended.
    if (stored === undefined) return [];
    const damage = await damageOf(kind, key, async () => check(stored));
    return damage ? [damage] : [];
  }
}

/** From the lowest one that is kept up to the present one: each names the one before it. */
async function* damagedRoots(repository: Repository, at: RootAt, options: CallOptions): AsyncGenerator<Damage> {
  const numbers: number[] = [];
  for await (const { key } of repository.store.list('roots/', options)) {
    const number = epochOfRoot(key);
    if (number !== undefined && number <= at.root.number) numbers.push(number);
  }
  let next = at;
  for (let number = at.root.number - 1; number >= (numbers[0] ?? number + 1); number--) {
    if (next.root.previous === '') return;
    const key = keys.root(number);
    let former: RootAt | undefined;
    const damage = await damageOf('root', key, async () => {
      former = await readRoot(repository, number, options);
      if (former && former.hash !== next.root.previous) {
        throw damaged({ kind: 'root', key }, `it is not the root that ${keys.root(next.root.number)} follows`);
      }
    });
    if (damage) yield damage;
    if (damage || former === undefined) {
      // A lower one may be the work of a sleeper, whose number was swept long ago; a gap between kept ones is not.
      if (!damage && numbers.includes(number - 1)) {
        const reason = `root ${key} is missing in ${repository.store.description}`;
        yield { kind: 'root', key, code: 'ObjectMissing', reason };
      }
      return;
    }
    next = former;
  }
}

const epochOfRoot = (key: string): number | undefined =>
  /^roots\/\d{16}$/.test(key) ? Number(key.slice('roots/'.length)) : undefined;

/** Leases are plain JSON, and nothing rests on them: only what cannot have been written is found. */
function checkLease({ sealing }: Repository, key: string, stored: Buffer): void {
  const place: BlockPlace = { kind: 'lease', key };
  const content = sealing.keys ? openObject(sealing, place, stored) : stored;
  const { epoch } = checkedJson<LeaseDocument>(place, parseJson(place, content), leaseShape);
  if (epoch !== epochOf(key)) throw damaged(place, 'it is not a lease of its epoch');
}
