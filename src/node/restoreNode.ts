import { join } from 'node:path';
import type { ManifestNode, ManifestRoot, RootDocument } from '../domain/documents.ts';
import { isInSample } from '../domain/drill.ts';
import { HomarusError } from '../domain/errors.ts';
import type { DrillSample, RestoreReceipt } from '../domain/operations.ts';
import type { RestoreForecast } from '../domain/results.ts';
import { readBackup, readManifest } from '../storage/backups.ts';
import type { Repository } from '../storage/repository.ts';
import { presentRoot } from '../storage/roots.ts';
import { SeenRoots } from '../storage/seen.ts';
import type { BytePath } from './bytePath.ts';
import type { JobContext } from './job.ts';
import type { RestoreInput } from './planRestore.ts';
import { previewTrees } from './previewRestore.ts';
import type { AreaPlace } from './restoreArea.ts';
import { areaOf } from './restoreArea.ts';
import { restoreTrees } from './restorer.ts';
import { basesOf, compileSelection } from './select.ts';
import type { NodeSettings } from './settings.ts';
import { PREVIEWS, restoreName } from './workDirectory.ts';

export interface RestoreSource {
  /** Name of the backup, and of the node in it. */
  backup: string;
  from: string;
  /** Only what these globs match; all without any. */
  paths: readonly string[];
  verifyExisting: boolean;
  /** Only so much of the files. */
  sample?: DrillSample | undefined;
  /** To the storage at once. */
  requests?: number;
}

export interface RestoreNodeInput extends RestoreSource {
  operation: string;
  node: Pick<NodeSettings, 'id' | 'roots' | 'stateDir'>;
  /** What the node's backups leave out, or do not take in: a restore into place leaves it alone. */
  exclude?: readonly string[];
  include?: readonly string[];
  /** Another directory than the node's roots. */
  to: string | null;
}

/** Restores a node's trees from a backup, into the node's roots or another directory. Takes no lock on the storage. */
export async function restoreNode(
  repository: Repository,
  input: RestoreNodeInput,
  context: JobContext,
): Promise<RestoreReceipt> {
  return { node: input.node.id, ...(await atTrees(repository, sourceOf(input, 'work'), context, restoreTrees)) };
}

/** What `restoreNode` would do with the same input; nothing is changed. */
export async function previewNode(
  repository: Repository,
  input: RestoreNodeInput,
  context: JobContext,
): Promise<RestoreForecast> {
  return { node: input.node.id, ...(await atTrees(repository, sourceOf(input, PREVIEWS), context, previewTrees)) };
}

function sourceOf(input: RestoreNodeInput, below: string): TreesSource {
  const { node, to } = input;
  return {
    ...input,
    places: (source) => (to === null ? placesOf(source, node) : placesIn(source, to)),
    workDirectory: join(node.stateDir, below, restoreName(input.operation)),
    exclude: to === null ? (input.exclude ?? []) : [],
    include: to === null ? (input.include ?? []) : [],
    seen: new SeenRoots(node.stateDir),
  };
}

/** The same with the places to be chosen when the backup's roots are known. */
export const restoreFrom = (
  repository: Repository,
  input: TreesSource,
  context: JobContext,
): Promise<Omit<RestoreReceipt, 'node'>> => atTrees(repository, input, context, restoreTrees);

export interface TreesSource extends RestoreSource {
  operation: string;
  exclude: readonly string[];
  include: readonly string[];
  workDirectory: string;
  places(source: ManifestNode): AreaPlace[];
  /** What this machine remembers, if it does. */
  seen?: SeenRoots;
}

/** Finds the trees of the backup, and does with them what is asked. */
async function atTrees<T>(
  repository: Repository,
  input: TreesSource,
  context: JobContext,
  act: (repository: Repository, root: RootDocument, trees: RestoreInput, context: JobContext) => Promise<T>,
): Promise<T> {
  const { signal } = context;
  const covered = compileSelection({ include: input.paths, exclude: input.exclude });
  const { sample } = input;
  const select =
    sample === undefined
      ? covered
      : { ...covered, file: (path: BytePath) => covered.file(path) && isInSample(path, sample) };
  const removable = compileSelection({ include: input.include, exclude: [] }).file;
  const at = await presentRoot(repository, { signal });
  await input.seen?.check(repository, at);
  return readBackup(
    repository,
    at,
    input.backup,
    async ({ root }, entry) => {
      const manifest = await readManifest(repository, entry, { signal });
      const source = manifest.nodes.find(({ id }) => id === input.from);
      if (!source) throw notInBackup(input, manifest.nodes);
      const roots = input
        .places(source)
        .map((place, number) => ({ ...place, tree: (source.roots[number] as ManifestRoot).tree }));
      const { operation, verifyExisting, workDirectory, requests } = input;
      const bases = basesOf(input.paths);
      const trees = { roots, select, removable, bases, operation, verifyExisting, workDirectory, requests };
      return act(repository, root, trees, context);
    },
    { signal },
  );
}

/** The node's own roots, by name; a node with one root takes that of another with one. */
function placesOf(source: ManifestNode, node: RestoreNodeInput['node']): AreaPlace[] {
  const single = source.roots.length === 1 && node.roots.length === 1;
  return source.roots.map(({ name }) => {
    const root = single ? node.roots[0] : node.roots.find((own) => own.name === name);
    if (root) return { path: root.path, linkDir: root.linkDir, stateDir: node.stateDir };
    const has = node.roots.map((own) => own.name).join(', ');
    throw new HomarusError(
      'NodesDoNotMatch',
      `node ${source.id} has a root "${name}" in the backup, which node ${node.id} has not (it has ${has})`,
      { hint: 'Configure the root, or restore to another directory with --to.' },
    );
  });
}

/** In `directory` itself, or in one below it for each root where there are several. */
export function placesIn(source: ManifestNode, directory: string): AreaPlace[] {
  return rootsIn(directory, source.roots).map(({ path }) => ({ path, linkDir: areaOf(path) }));
}

/** Roots in another directory than their own: it is the only one, or holds each by its name. */
export function rootsIn(directory: string, roots: readonly { name: string }[]): { name: string; path: string }[] {
  return roots.map(({ name }) => ({ name, path: roots.length === 1 ? directory : join(directory, name) }));
}

function notInBackup({ backup, from }: RestoreSource, nodes: readonly ManifestNode[]): HomarusError {
  const has = nodes.map(({ id }) => id).join(', ');
  return new HomarusError('BadInput', `backup ${backup} has no node ${from}; it has ${has}`);
}
