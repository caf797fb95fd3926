import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { ManifestNode } from '../domain/documents.ts';
import type { RestoreReceipt } from '../domain/operations.ts';
import type { Repository } from '../storage/repository.ts';
import type { JobContext } from './job.ts';
import type { RestoreSource } from './restoreNode.ts';
import { placesIn, restoreFrom } from './restoreNode.ts';

export interface ExtractInput extends RestoreSource {
  /** A directory; several roots go below it, to directories of their names. */
  to: string;
}

/**
 * Brings the trees of one node straight from the storage into a directory: no Temporal, no lock, no configuration of a
 * node. Called again it goes on where it was stopped.
 */
export async function extract(
  repository: Repository,
  input: ExtractInput,
  context: JobContext,
): Promise<Omit<RestoreReceipt, 'node'>> {
  const directory = await mkdtemp(join(tmpdir(), 'homarus-extract-'));
  try {
    const places = (source: ManifestNode) => placesIn(source, resolve(input.to));
    const workDirectory = join(directory, 'work');
    return await restoreFrom(
      repository,
      { ...input, operation: 'extract', exclude: [], include: [], workDirectory, places },
      context,
    );
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
