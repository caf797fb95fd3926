import { rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { drillDirectory } from '../domain/drill.ts';
import { HomarusError } from '../domain/errors.ts';
import type { DrilledTree, DrillReceipt, DrillSample } from '../domain/operations.ts';
import { matching, record } from '../domain/shape.ts';
import type { Repository } from '../storage/repository.ts';
import type { JobContext } from './job.ts';
import type { RestoreNodeInput } from './restoreNode.ts';
import { previewNode, restoreNode } from './restoreNode.ts';
import { readState, writeState } from './stateFile.ts';
import { rmSync } from './writing.ts';

export interface DrillInput extends Omit<RestoreNodeInput, 'from' | 'paths' | 'to' | 'exclude' | 'verifyExisting'> {
  /** Nodes of the backup whose files this node takes, one after another. */
  froms: readonly string[];
  /** Where the scratch directory is made, an absolute path. */
  directory: string;
  sample: DrillSample;
}

/**
 * Restores trees of a backup into a scratch directory, reads them back from there and compares. `DrillFailed` when they are
 * not what the backup has. The scratch directory stays, for who looks at it further, until `dropScratch`.
 */
export async function drill(
  repository: Repository,
  { froms, directory, ...input }: DrillInput,
  context: JobContext,
): Promise<DrillReceipt> {
  const { stateDir, id } = input.node;
  // What a killed try left would make this one look faster than it is.
  await dropScratch(stateDir);
  const scratch = drillDirectory(directory, input.operation, id);
  noteScratch(stateDir, scratch);
  const trees: DrilledTree[] = [];
  for (const from of froms) {
    const to = froms.length === 1 ? scratch : join(scratch, from);
    const work = { ...input, from, to, paths: [], exclude: [] };
    const began = performance.now();
    const { files, bytes, fetchedBytes } = await restoreNode(repository, { ...work, verifyExisting: false }, context);
    const ms = Math.round(performance.now() - began);
    const found = await previewNode(repository, { ...work, verifyExisting: true }, context);
    const wrong = found.files - found.kept + found.removed;
    if (wrong > 0) {
      throw new HomarusError(
        'DrillFailed',
        `node ${id}: ${wrong} files in ${to} are not what backup ${input.backup} has of node ${from}`,
      );
    }
    trees.push({ from, files, bytes, fetchedBytes, ms });
  }
  return { node: id, trees };
}

interface Note {
  path: string;
}
const noteState = record({ path: matching(/^\/./, 'an absolute path') });

const noteOf = (stateDir: string): string => join(stateDir, 'drill.json');

/** Before it is made, so that it is found again whatever is killed. */
const noteScratch = (stateDir: string, path: string): void => writeState(noteOf(stateDir), { path } satisfies Note);

/** Removes the scratch directory of a drill on this node, if there is one. */
export async function dropScratch(stateDir: string): Promise<void> {
  const note = readState<Note>(noteOf(stateDir), noteState);
  if (note === undefined) return;
  await rm(note.path, { recursive: true, force: true });
  // That of the operation, unless another node of this machine uses it, too.
  await rmdir(dirname(note.path)).catch(() => undefined);
  rmSync(noteOf(stateDir), { force: true });
}
