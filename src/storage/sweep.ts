import { keys } from '../domain/documents.ts';
import { ledTo } from './garbage.ts';
import { epochOf } from './ids.ts';
import type { CallOptions, ListedObject } from './objectStore.ts';
import type { Repository } from './repository.ts';
import type { RootAt } from './roots.ts';
import { lockLost, presentRoot } from './roots.ts';
import { stagingOf } from './staging.ts';

/** What a sweep deleted: objects, their bytes, and how many the storage's object lock holds back. */
export interface Swept {
  deleted: number;
  bytes: number;
  retained: number;
}

export interface SweepOptions extends CallOptions {
  onProgress?: (swept: Swept) => void;
}

const BATCH = 1000;
/** ms */
const REPORTS_KEPT = 30 * 24 * 60 * 60 * 1000;
/** Storages tell the start of an upload to the second. */
const CLOCK_GRAIN = 1000;

/**
 * Deletes garbage by the root `at`, which the holder of `epoch` committed or took its lock with: manifests, indexes,
 * packs, in this order, then what operations of lower epochs left behind. `LockLost`, and nothing more is deleted, as
 * soon as another epoch is there. When it returns, `releaseLock` may say `swept`.
 */
export async function sweep(
  repository: Repository,
  at: RootAt,
  epoch: number,
  options: SweepOptions = {},
): Promise<Swept> {
  const { store } = repository;
  const swept: Swept = { deleted: 0, bytes: 0, retained: 0 };
  let present = await ownRoot(repository, at, epoch, options);
  const { floor } = present.root;
  const led = await ledTo(repository, present.root, options);

  const remove = async (batch: ListedObject[]): Promise<void> => {
    if (batch.length === 0) return;
    present = await ownRoot(repository, present, epoch, options);
    const { retained } = await store.remove(
      batch.map(({ key }) => key),
      options,
    );
    const held = new Set(retained);
    for (const { key, size } of batch) {
      if (held.has(key)) continue;
      swept.deleted++;
      swept.bytes += size;
    }
    swept.retained += held.size;
    options.onProgress?.({ ...swept });
  };
  const removeWhere = async (prefix: string, isGarbage: (key: string, modified: number) => boolean): Promise<void> => {
    let batch: ListedObject[] = [];
    for (let after = ''; ; after = (batch.at(-1) as ListedObject).key) {
      // Nothing is promised about a listing from which somebody deletes: each batch has its own.
      batch = [];
      for await (const object of store.list(prefix, after === '' ? options : { ...options, after })) {
        if (isGarbage(object.key, object.modified)) batch.push(object);
        if (batch.length === BATCH) break;
      }
      await remove(batch);
      if (batch.length < BATCH) return;
    }
  };

  for (const prefix of ['manifests/', 'indexes/', 'packs/']) {
    await removeWhere(prefix, (key) => atOrBelow(key, floor) && !led.has(key));
  }
  // Nothing rests on reports or on the clock by which they are old.
  const oldest = (await store.now()) - REPORTS_KEPT;
  const isOld = (_: string, modified: number): boolean => modified < oldest;
  for (const prefix of ['staging/', 'leases/']) {
    await removeWhere(prefix, (key) => atOrBelow(key, epoch - 1));
  }
  await removeWhere('reports/', isOld);
  const listed = new Set([...present.root.backups, ...(present.root.aside ?? [])].map(({ name }) => name));
  await removeWhere('marks/', (key) => !listed.has(key.split('/')[1] as string));
  const locked = await store.stat(keys.root(at.root.number), options);
  if (locked) {
    await ownRoot(repository, present, epoch, options);
    swept.deleted += await store.removeUnfinished(locked.modified - CLOCK_GRAIN, options);
  }
  return swept;
}

/** Removes the staged lists of one operation and epoch: all of them are its own. */
export async function removeStaging(
  repository: Repository,
  epoch: number,
  operation: string,
  options: CallOptions = {},
): Promise<void> {
  const staged: string[] = [];
  for await (const { key } of repository.store.list(stagingOf(repository.sealing, { epoch, operation }), options))
    staged.push(key);
  if (staged.length > 0) await repository.store.remove(staged, options);
}

async function ownRoot(repository: Repository, cached: RootAt, epoch: number, options: CallOptions): Promise<RootAt> {
  const present = await presentRoot(repository, { ...options, cached });
  if (present.root.epoch !== epoch) throw lockLost(present.root, epoch);
  return present;
}

function atOrBelow(key: string, epoch: number): boolean {
  const own = epochOf(key);
  return own !== undefined && own <= epoch;
}
