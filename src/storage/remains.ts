import { manifestShape } from '../domain/documentShapes.ts';
import type { BackupEntry, Manifest, RootKeys } from '../domain/documents.ts';
import { isLoss } from '../domain/errors.ts';
import { takeUpDataKeys } from './dataKeys.ts';
import { blake3 } from './hash.ts';
import { epochOf } from './ids.ts';
import type { CallOptions } from './objectStore.ts';
import type { Repository } from './repository.ts';
import { checkedJson, openJson } from './repository.ts';
import type { RootAt } from './roots.ts';
import { readRoot } from './roots.ts';

/** What a storage still holds of a repository, whatever its roots say: what a repair starts from. */

export interface Remains {
  /** Seen anywhere, also in the keys of what cannot be read. */
  highestNumber: number;
  highestEpoch: number;
  /** Of an encrypted repository: as the last root says, with any later data key; else all slots that are there. */
  keys: RootKeys | undefined;
  /** The highest that can be read. */
  lastRoot: RootAt | undefined;
  packs: { id: string; length: number }[];
  /** Of each its entry for a root, and why it cannot be listed. */
  manifests: { entry: BackupEntry; why?: string }[];
}

const MARK = /^marks\/[^/]+\/(\d{16})-/;

export async function findRemains(repository: Repository, options: CallOptions = {}): Promise<Remains> {
  const { store } = repository;
  const remains: Remains = {
    ...{ highestNumber: 0, highestEpoch: 0, keys: undefined, lastRoot: undefined },
    ...{ packs: [], manifests: [] },
  };
  const seen = (epoch: number | undefined): void => {
    remains.highestEpoch = Math.max(remains.highestEpoch, epoch ?? 0);
  };
  for await (const { key } of store.list('roots/', options)) {
    const number = /^roots\/\d{16}$/.test(key) ? Number(key.slice('roots/'.length)) : 0;
    remains.highestNumber = Math.max(remains.highestNumber, number);
    const at = number > 0 ? await readable(() => readRoot(repository, number, options)) : undefined;
    seen(at?.root.epoch);
    if (at && number >= (remains.lastRoot?.root.number ?? 0)) remains.lastRoot = at;
  }
  if (repository.unlocked) remains.keys = await findKeys(repository, remains.lastRoot, options);
  for (const prefix of ['indexes/', 'staging/', 'leases/']) {
    for await (const { key } of store.list(prefix, options)) seen(epochOf(key));
  }
  for await (const { key } of store.list('marks/', options)) seen(Number(MARK.exec(key)?.[1] ?? 0));
  for await (const { key, size } of store.list('packs/', options)) {
    seen(epochOf(key));
    remains.packs.push({ id: key.slice('packs/'.length), length: size });
  }
  for await (const { key } of store.list('manifests/', options)) {
    const epoch = epochOf(key);
    const [, name, id] = /^manifests\/([^/~]+)~([^/]+)$/.exec(key) ?? [];
    if (epoch === undefined || name === undefined || id === undefined) continue;
    seen(epoch);
    const stored = await store.read(key, undefined, options);
    if (stored) remains.manifests.push(entryOf(repository, { key, name, id, epoch, stored }, remains.lastRoot));
  }
  remains.manifests = oneOfEachName(remains.manifests, remains.lastRoot);
  return remains;
}

/** What opens the packs, whatever the roots say; the data keys are taken up. */
async function findKeys(repository: Repository, lastRoot: RootAt | undefined, options: CallOptions): Promise<RootKeys> {
  const slots: string[] = [];
  let generation = lastRoot?.root.keys?.generation ?? 1;
  for await (const { key } of repository.store.list('keys/', options)) {
    const [, number] = /^keys\/generation-(\d{16})$/.exec(key) ?? [];
    if (number === undefined) slots.push(key.slice('keys/'.length));
    else generation = Math.max(generation, Number(number));
  }
  const found = { generation, slots: lastRoot?.root.keys?.slots ?? slots };
  await takeUpDataKeys(repository, { number: lastRoot?.root.number ?? 0, keys: found }, options);
  return found;
}

/** Undefined for what is lost or damaged. */
async function readable<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isLoss(error)) return undefined;
    throw error;
  }
}

interface FoundManifest {
  key: string;
  name: string;
  id: string;
  epoch: number;
  stored: Buffer;
}

function entryOf(
  repository: Repository,
  { key, name, id, epoch, stored }: FoundManifest,
  lastRoot: RootAt | undefined,
): Remains['manifests'][number] {
  const known = lastRoot?.root.backups.find((entry) => entry.id === id);
  const own = { name, id, epoch, manifest: { length: stored.length, hash: blake3.hash([stored]).toString('hex') } };
  const nothing = { kind: 'full', started: '', finished: '', label: '', plugin: '' } as const;
  const counts = { nodes: 0, files: 0, bytes: 0, added: 0, stored: 0 };
  let manifest: Manifest;
  try {
    const place = { kind: 'manifest', key } as const;
    manifest = checkedJson(place, openJson(repository, place, stored), manifestShape);
  } catch (error) {
    if (!isLoss(error)) throw error;
    // What the root knew of it stays, but for the hash of what it should be.
    return { entry: { ...nothing, ...counts, ...known, ...own }, why: error.message };
  }
  const { kind, label, started, finished, plugin, nodes, totals } = manifest;
  const { added = 0, stored: storedBytes = 0, partial, requires } = known ?? {};
  return {
    entry: {
      ...own,
      ...{ kind, label, started, finished, plugin: plugin.name, nodes: nodes.length },
      ...{ files: totals.files, bytes: totals.bytes, added, stored: storedBytes },
      ...(partial ? { partial } : {}),
      ...(requires ? { requires } : {}),
    },
  };
}

/** A backup that died after its manifest may have the name of the one that succeeded: the root's, or the later one, has it. */
function oneOfEachName(manifests: Remains['manifests'], lastRoot: RootAt | undefined): Remains['manifests'] {
  const rank = ({ entry, why }: Remains['manifests'][number]): number => {
    if (why !== undefined) return -1;
    return lastRoot?.root.backups.some(({ id }) => id === entry.id) ? Number.MAX_SAFE_INTEGER : entry.epoch;
  };
  const best = new Map<string, Remains['manifests'][number]>();
  for (const one of manifests) {
    const other = best.get(one.entry.name);
    if (!other || rank(one) > rank(other)) best.set(one.entry.name, one);
  }
  return manifests.map((one) =>
    one.why !== undefined || best.get(one.entry.name) === one
      ? one
      : { ...one, why: `${best.get(one.entry.name)?.entry.id} has its name` },
  );
}
