import { keys } from '../domain/documents.ts';
import { HomarusError, hasCode } from '../domain/errors.ts';
import type { KeySlot, SlotContent, SlotPlace } from './keySlot.ts';
import { openSlot, parseSlot } from './keySlot.ts';
import type { CallOptions, ObjectStore } from './objectStore.ts';
import type { SealingKeys } from './sealing.ts';
import { DOCUMENTS_GENERATION, derive } from './sealing.ts';
import type { SecretSource } from './secret.ts';
import { describeSecret, readSecret } from './secret.ts';

/** The keys of an encrypted repository, as a slot gave them out. Plain values: processes keep them and hand them to threads. */
export interface Unlocked {
  /** Id of the repository. */
  readonly repository: string;
  /** Id of the slot. */
  readonly slot: string;
  readonly master: Uint8Array;
  /** Hash of `repository.json`. */
  readonly parameters: Uint8Array;
  /** Roots that are read add the data keys of what they lead to. */
  readonly keys: SealingKeys & { readonly generations: Map<number, Uint8Array>; present: number };
}

const NO_SALT = Buffer.alloc(0);
const SLOT_KEY = /^keys\/([0-9a-f]{16})$/;

export function unlockedBy(repository: string, slot: string, { master, parameters }: SlotContent): Unlocked {
  const generations = new Map([[DOCUMENTS_GENERATION, derive(master, NO_SALT, 'documents')]]);
  const chunks = derive(master, NO_SALT, 'chunk names');
  const names = derive(master, NO_SALT, 'names');
  return { repository, slot, master, parameters, keys: { chunks, names, generations, present: DOCUMENTS_GENERATION } };
}

/** Opens a repository (by its id) with a secret. `KeyMissing` when that is not to be had, `KeyWrong` when no slot opens. */
export async function unlock(
  store: ObjectStore,
  repository: string,
  source: SecretSource,
  options: CallOptions = {},
): Promise<Unlocked> {
  const secret = await readSecret(source);
  let slots = 0;
  let broken: unknown;
  for await (const { id, place, stored } of readSlots(store, repository, options)) {
    slots++;
    try {
      const content = await openSlot(place, parseSlot(place, stored), secret);
      if (content) return unlockedBy(repository, id, content);
    } catch (error) {
      if (!hasCode(error, 'ObjectDamaged', 'RepositoryIncompatible')) throw error;
      broken = error;
    }
  }
  if (broken !== undefined) throw broken;
  if (slots === 0) {
    throw new HomarusError(
      'ObjectMissing',
      `${store.description} holds an encrypted repository, but none of its key slots`,
      {
        hint: 'Put back what stood below keys/: without it nothing there can ever be read again.',
      },
    );
  }
  throw new HomarusError(
    'KeyWrong',
    `${describeSecret(source)} opens none of the ${slots === 1 ? 'one key slot' : `${slots} key slots`} of ${store.description}, ` +
      'or repository.json there is not the one with which they were made',
  );
}

export interface StoredSlot {
  id: string;
  place: SlotPlace;
  stored: Buffer;
}

/** All slots that there are, whoever can open them. */
export async function* readSlots(
  store: ObjectStore,
  repository: string,
  options: CallOptions = {},
): AsyncGenerator<StoredSlot> {
  for await (const { key } of store.list('keys/', options)) {
    const id = SLOT_KEY.exec(key)?.[1];
    const stored = id && (await store.read(key, undefined, options));
    if (stored) yield { id: id as string, place: { repository, key }, stored };
  }
}

export const slotPlace = (repository: string, id: string): SlotPlace => ({ repository, key: keys.slot(id) });

/** Stores a slot that was made for this id. */
export async function storeSlot(
  store: ObjectStore,
  id: string,
  slot: KeySlot,
  options: CallOptions = {},
): Promise<void> {
  await store.create(keys.slot(id), Buffer.from(`${JSON.stringify(slot)}\n`), options);
}
