import { reportLine } from '../domain/documentShapes.ts';
import type { DamagedObject, RootDocument } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import type { StagedList, StorageGrant } from '../domain/operations.ts';
import type { Damage } from '../domain/results.ts';
import { readManifest } from './backups.ts';
import { readRange } from './footer.ts';
import { lockLost, released } from './lock.ts';
import type { CallOptions } from './objectStore.ts';
import { openReadable } from './openIndexes.ts';
import type { PackRef } from './pack.ts';
import { checkPack, packPlace } from './pack.ts';
import { readReport } from './report.ts';
import type { Repository } from './repository.ts';
import { commit, presentRoot } from './roots.ts';
import type { ReportLine } from './verify.ts';
import { withDamage } from './verify.ts';
import { damagedIndexes, damageOf } from './verifyObjects.ts';

/**
 * Commits what a verify found damaged, under the lock and after it was looked at once more: from then on it counts as absent,
 * so that the next backup stores it again from a node that still has it. Answers the number of the root that says so (null
 * when there is nothing new to say), which holds no lock any more.
 */
export async function noteDamage(
  repository: Repository,
  input: { grant: StorageGrant; nonce: string; report: StagedList },
  options: CallOptions = {},
): Promise<number | null> {
  const { grant, nonce, report } = input;
  const at = await presentRoot(repository, options);
  if (at.root.nonce === nonce) return at.root.number;
  if (at.root.number !== grant.root) throw lockLost(at.root, grant.epoch);
  const found: Damage[] = [];
  for await (const line of readReport<ReportLine>(repository, report, reportLine, options)) {
    if (line.type === 'damage') found.push(line);
  }
  const damaged = await stillDamaged(repository, at.root, withDamage({ damaged: [] }, found), options);
  const all = withNew(at.root.damaged, damaged);
  if (all.length === at.root.damaged.length) return null;
  const outcome = await commit(repository, at, (draft) => released({ ...draft, damaged: all }), nonce, options);
  if (outcome.result === 'lost') throw lockLost(outcome.highest.root, grant.epoch);
  return outcome.at.root.number;
}

function withNew(known: readonly DamagedObject[], found: readonly DamagedObject[]): DamagedObject[] {
  const ids = new Set(known.map(({ id }) => id));
  return [...known, ...found.filter(({ id }) => !ids.has(id))];
}

/** Those that the root still leads to and that are not whole now. */
async function stillDamaged(
  repository: Repository,
  root: RootDocument,
  found: readonly DamagedObject[],
  options: CallOptions,
): Promise<DamagedObject[]> {
  const packs = new Map<string, PackRef>();
  for (const index of await openReadable(repository, root, options)) {
    for (const pack of index.packs) packs.set(pack.id, pack);
  }
  const damaged: DamagedObject[] = [];
  for (const one of found) {
    options.signal?.throwIfAborted();
    if (await isDamaged(repository, root, packs, one, options)) damaged.push(one);
  }
  return damaged;
}

async function isDamaged(
  repository: Repository,
  root: RootDocument,
  packs: ReadonlyMap<string, PackRef>,
  { kind, id }: DamagedObject,
  options: CallOptions,
): Promise<boolean> {
  if (kind === 'index') {
    const indexes = root.indexes.filter((ref) => ref.id === id);
    for await (const _ of damagedIndexes(repository, { indexes }, options)) return true;
    return false;
  }
  if (kind === 'manifest') {
    const entry = root.backups.find((backup) => backup.id === id);
    if (!entry) return false;
    const key = keys.manifest(entry.name, entry.id);
    return (await damageOf('manifest', key, () => readManifest(repository, entry, options))) !== undefined;
  }
  const pack = packs.get(id);
  if (!pack) return false;
  const damage = await damageOf('pack', keys.pack(id), async () => {
    const stored = await readRange(repository, packPlace(id), 0, pack.length, options);
    checkPack(repository.sealing, pack, stored);
  });
  return damage !== undefined;
}
