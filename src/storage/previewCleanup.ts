import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { RootDocument } from '../domain/documents.ts';
import { isLoss } from '../domain/errors.ts';
import type { RewriteLimits } from '../domain/requests.ts';
import { isWorthALook } from './cleanUp.ts';
import type { PackRef } from './pack.ts';
import type { PackUse } from './packUse.ts';
import { formerPacks } from './reencrypt.ts';
import type { Repository } from './repository.ts';
import type { PacksFound, TidyOptions } from './tidyPacks.ts';
import { lookAtPacks } from './tidyPacks.ts';

/** What a cleanup would do with packs, without a lock and without changing anything. */

interface Some {
  packs: number;
  /** Of the objects. */
  bytes: number;
}

export interface CleanupPreview {
  /** Packs that no staying backup needs. */
  dropped: Some;
  /** Packs of which too little is needed; `used` bytes of them are. */
  rewritten: Some & { used: number };
  /** Other packs that are rewritten because a former data key seals them. */
  formerKeys: Some;
}

/**
 * By the root as it is now. Null where it is not known what is needed, so that all packs would stay. Reads all trees
 * unless the root says that nothing is to be gained. `directory` is for temporary files, which are removed.
 */
export async function previewCleanup(
  repository: Repository,
  root: RootDocument,
  { going, limits }: { going: ReadonlySet<string>; limits: RewriteLimits },
  options: TidyOptions,
): Promise<CleanupPreview | null> {
  const found = isWorthALook(root, going, limits) ? await look(repository, root, { going, limits }, options) : NONE;
  if (found === null) return null;
  const { dropped, chosen } = found;
  const gone = new Set([...dropped, ...chosen].map(({ pack }) => pack.id));
  const former = (await formerPacks(repository, root, options)).filter(({ id }) => !gone.has(id));
  const packsOf = (some: ReadonlySet<PackUse>): PackRef[] => [...some].map(({ pack }) => pack);
  const used = [...chosen].reduce((all, use) => all + use.used, 0);
  return {
    dropped: count(packsOf(dropped)),
    rewritten: { ...count(packsOf(chosen)), used },
    formerKeys: count(former),
  };
}

const NONE: Pick<PacksFound, 'dropped' | 'chosen'> = { dropped: new Set(), chosen: new Set() };

async function look(
  repository: Repository,
  root: RootDocument,
  { going, limits }: { going: ReadonlySet<string>; limits: RewriteLimits },
  options: TidyOptions,
): Promise<Pick<PacksFound, 'dropped' | 'chosen'> | null> {
  // As in a cleanup: what a backup that is not whole needs is not known.
  if (root.aside?.some(({ name }) => !going.has(name))) return null;
  const staying = root.backups.filter(({ name }) => !going.has(name));
  const directory = await mkdtemp(join(options.directory, 'homarus-preview-'));
  try {
    return (await lookAtPacks(repository, root, { staying, limits }, { ...options, directory })) ?? null;
  } catch (error) {
    if (going.size === 0 && isLoss(error)) return null;
    throw error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const count = (packs: readonly PackRef[]): Some => ({
  packs: packs.length,
  bytes: packs.reduce((all, { length }) => all + length, 0),
});
