import type { Holder, RootKeys } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import { HomarusError, hasCode } from '../domain/errors.ts';
import { makeDataKey } from './dataKeys.ts';
import { randomPart } from './ids.ts';
import type { ScryptCost, SlotNote } from './keySlot.ts';
import { makeSlot, parseSlot, readSlotNote, slotKind } from './keySlot.ts';
import { acquireLock, lockLost, released, releaseLock } from './lock.ts';
import type { CallOptions } from './objectStore.ts';
import type { Repository } from './repository.ts';
import type { CommitOptions, RootAt } from './roots.ts';
import { commit } from './roots.ts';
import type { Secret } from './secret.ts';
import type { Unlocked } from './unlock.ts';
import { readSlots, slotPlace, storeSlot } from './unlock.ts';

/**
 * Changes of keys: each is one commit of a root that says which slots count and which data key is used. So of two that
 * change at once one is refused, the last slot is never taken away, and a stop anywhere leaves what was there before or
 * after. A slot that no root counts is removed by the next change.
 */

export interface ChangeOptions extends CommitOptions {
  /** Who asked for it. */
  by: string;
}

export interface ListedSlot extends SlotNote {
  id: string;
  kind: Secret['kind'];
  /** The one that the repository was opened with. */
  used: boolean;
}

const LOCK_TTL = 60_000;

/** The slots that count. One that cannot be read is told as such by its label. */
export async function listSlots(
  repository: Repository,
  { root }: RootAt,
  options: CallOptions = {},
): Promise<ListedSlot[]> {
  const { master, slot: used, repository: id } = unlockedOf(repository);
  const counted = new Set(root.keys?.slots);
  const found = new Map<string, ListedSlot>();
  for await (const { id: slot, place, stored } of readSlots(repository.store, id, options)) {
    if (!counted.has(slot)) continue;
    try {
      const parsed = parseSlot(place, stored);
      const note = readSlotNote(place, parsed, master) ?? { label: 'damaged', by: '', at: '' };
      found.set(slot, { id: slot, kind: slotKind(parsed), used: slot === used, ...note });
    } catch (error) {
      if (!hasCode(error, 'ObjectDamaged', 'RepositoryIncompatible')) throw error;
      found.set(slot, { id: slot, kind: 'passphrase', used: slot === used, label: 'damaged', by: '', at: '' });
    }
  }
  const lost = [...counted].filter((slot) => !found.has(slot));
  for (const slot of lost)
    found.set(slot, { id: slot, kind: 'passphrase', used: false, label: 'missing', by: '', at: '' });
  return [...found.values()].sort((a, b) => (a.at < b.at ? -1 : 1));
}

/** Adds a slot; answers its id. */
export async function addSlot(
  repository: Repository,
  secret: Secret,
  { label, scrypt, ...options }: ChangeOptions & { label: string; scrypt?: ScryptCost },
): Promise<string> {
  const { master, parameters, repository: id } = unlockedOf(repository);
  const slot = randomPart();
  const content = { master: Buffer.from(master), parameters: Buffer.from(parameters) };
  const note = { label, by: options.by, at: new Date().toISOString() };
  // Before the lock: it takes its time.
  const made = await makeSlot(slotPlace(id, slot), secret, content, note, scrypt);
  await change(repository, options, async (now) => {
    await storeSlot(repository.store, slot, made, options);
    return { ...now, slots: [...now.slots, slot] };
  });
  return slot;
}

/** Removes a slot by its id. `BadInput` when there is no such slot, or no other. */
export async function removeSlot(repository: Repository, slot: string, options: ChangeOptions): Promise<void> {
  await change(repository, options, (now) => {
    const slots = now.slots.filter((id) => id !== slot);
    if (slots.length === now.slots.length) {
      throw new HomarusError('BadInput', `there is no key slot ${slot}; there is ${now.slots.join(', ')}`);
    }
    if (slots.length === 0) {
      throw new HomarusError(
        'BadInput',
        `key slot ${slot} is the last one: without it nothing could be read any more`,
        {
          hint: 'Add another with "homarus key add" first.',
        },
      );
    }
    return { ...now, slots };
  });
}

/**
 * Begins a new generation of data keys; answers its number. What is stored stays as it is; with `reencrypt` the root says
 * that cleanups are to rewrite it.
 */
export async function rotateDataKey(
  repository: Repository,
  { reencrypt = false, ...options }: ChangeOptions & { reencrypt?: boolean },
): Promise<number> {
  const { generation } = await change(repository, options, async (now) => {
    const next = now.generation + 1;
    await makeDataKey(repository, next, options);
    return { ...now, generation: next, ...(reencrypt ? { rewriteBelow: next } : {}) };
  });
  return generation;
}

async function change(
  repository: Repository,
  options: ChangeOptions,
  make: (now: RootKeys) => RootKeys | Promise<RootKeys>,
): Promise<RootKeys> {
  const id = unlockedOf(repository).repository;
  const operation = `keys-${randomPart()}`;
  const since = new Date().toISOString();
  const holder: Holder = { operation, run: operation, kind: 'keys', by: options.by, since, ttl: LOCK_TTL };
  const { at, epoch } = await acquireLock(repository, holder, { ...options, nonce: `${operation}-lock` });
  try {
    const next = await make(at.root.keys as RootKeys);
    // Seen under this lock and not counted: whoever stored it cannot commit any more. Listed later it might be another's.
    const uncounted: string[] = [];
    for await (const { id: slot } of readSlots(repository.store, id, options)) {
      if (!next.slots.includes(slot)) uncounted.push(keys.slot(slot));
    }
    const outcome = await commit(
      repository,
      at,
      (draft) => released({ ...draft, keys: next }),
      `${operation}-commit`,
      options,
    );
    if (outcome.result === 'lost') throw lockLost(outcome.highest.root, epoch);
    if (uncounted.length > 0) await repository.store.remove(uncounted, options);
    return next;
  } catch (error) {
    await releaseLock(repository, epoch, `${operation}-release`, options).catch(() => undefined);
    throw error;
  }
}

/** `KeyMissing` where nothing is encrypted. */
function unlockedOf({ unlocked, store }: Repository): Unlocked {
  if (unlocked) return unlocked;
  throw new HomarusError(
    'KeyMissing',
    `${store.description} holds a repository that is not encrypted: it has no keys`,
    {
      hint: 'Make an encrypted one elsewhere with "homarus init --encrypt".',
    },
  );
}
