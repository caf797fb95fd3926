import { join } from 'node:path';
import { totals } from '../domain/documentShapes.ts';
import type { ManifestNode, RootDocument, Totals } from '../domain/documents.ts';
import { HomarusError, hasCode } from '../domain/errors.ts';
import { hash, list, oneOf, record, text } from '../domain/shape.ts';
import { readManifest } from '../storage/backups.ts';
import { ChunkReader } from '../storage/chunkReader.ts';
import { openReadable } from '../storage/openIndexes.ts';
import type { Repository } from '../storage/repository.ts';
import { pagesOf, readTree } from '../storage/tree.ts';
import type { JobContext } from './job.ts';
import { RetainedRows, RetainedWriter } from './retainedRows.ts';
import { readState, writeState } from './stateFile.ts';
import { namesIn } from './workDirectory.ts';
import { mkdirSync, renameSync, rmSync } from './writing.ts';

/**
 * What a node remembers of its last backup in a repository, root by root: its tree, so that what did not change is neither
 * read nor, where the tree is still there, stored again. `<stateDir>/retained/<repository>/<root>.json` names the file of
 * rows beside it.
 */

interface Header {
  version: 1;
  /** Id of the backup that it is the tree of. */
  backup: string;
  /** File of rows. */
  rows: string;
  /** Chunks of the tree itself: its pages, and the list of them if that is one. */
  pages: string[];
  totals: Totals;
}

/** What an attempt leaves for `promoteRetained`, beside its file of rows. */
export type Retaining = Pick<Header, 'pages' | 'totals'>;

const retainingState = { pages: list(hash), totals };
const headerState = record({ version: oneOf(1), backup: text, rows: text, ...retainingState });

/** The retained tree of one root, as a snapshot uses it. */
export interface Retained {
  rows: RetainedRows | undefined;
  /** The rows have inodes, and a file without one is not to be believed. */
  local: boolean;
  /** The lock's root leads to the tree: all its chunks are stored. */
  reusable: boolean;
  /** The tree's own chunks, when it is reusable. */
  pages: ReadonlySet<string>;
  totals: Totals | undefined;
}

/** Where one root's state is, and the attempt's copy of it. */
export interface RetainedPlace {
  stateDir: string;
  workDirectory: string;
  node: string;
  root: string;
}

/** So many newest backups are searched for a tree of the node before it counts as new. */
const SEARCHED_BACKUPS = 10;

const rootFile = (root: string): string => encodeURIComponent(root);
const directoryOf = (stateDir: string, repository: string): string => join(stateDir, 'retained', repository);
/** The attempt's rows, which are promoted once it is committed. */
export const retainingPath = ({ workDirectory, root }: Pick<RetainedPlace, 'workDirectory' | 'root'>): string =>
  join(workDirectory, `retained-${rootFile(root)}`);

/** The retained tree of a root, or what the repository's newest backup of the node has instead, or nothing. */
export async function openRetained(
  repository: Repository,
  at: RootDocument,
  place: RetainedPlace,
  context: JobContext,
): Promise<Retained> {
  const directory = directoryOf(place.stateDir, repository.parameters.id);
  const header = readState<Header>(join(directory, `${rootFile(place.root)}.json`), headerState);
  if (header && namesIn(directory).includes(header.rows)) {
    const reusable = leadsTo(at, header.backup);
    return {
      rows: new RetainedRows(join(directory, header.rows)),
      local: true,
      reusable,
      pages: new Set(reusable ? header.pages : []),
      totals: header.totals,
    };
  }
  try {
    return await rebuilt(repository, at, place, context);
  } catch (error) {
    if (!hasCode(error, 'ObjectMissing', 'ObjectDamaged', 'UnsafePath')) throw error;
    context.warn(
      `node ${place.node}, root ${place.root}: its tree cannot be read back, so all files are read: ${(error as Error).message}`,
    );
    return nothing;
  }
}

const nothing: Retained = { rows: undefined, local: false, reusable: false, pages: new Set(), totals: undefined };

/** A tree proves its chunks as long as the root names its backup and nothing of it can be among what is damaged. */
function leadsTo(at: RootDocument, backup: string): boolean {
  return (
    at.backups.some(({ id }) => id === backup) &&
    at.damaged.every(({ kind, id }) => kind === 'manifest' && id !== backup)
  );
}

async function rebuilt(
  repository: Repository,
  at: RootDocument,
  place: RetainedPlace,
  context: JobContext,
): Promise<Retained> {
  const { signal } = context;
  const found = await newestTree(repository, at, place, signal);
  if (!found) return nothing;
  const indexes = await openReadable(repository, at, { signal });
  const chunks = new ChunkReader(repository, indexes);
  const path = join(place.workDirectory, `rebuilt-${rootFile(place.root)}`);
  const writer = new RetainedWriter(path);
  try {
    for await (const row of readTree(chunks, found.tree, { signal })) {
      context.throwIfStopped();
      writer.add(row);
    }
  } finally {
    writer.close();
  }
  const reusable = leadsTo(at, found.backup);
  const pages = (await pagesOf(chunks, found.tree, { signal })).map(({ chunk }) => chunk);
  if ('pageList' in found.tree) pages.push(found.tree.pageList.chunk);
  return {
    rows: new RetainedRows(path),
    local: false,
    reusable,
    pages: new Set(reusable ? pages : []),
    totals: found.totals,
  };
}

async function newestTree(
  repository: Repository,
  at: RootDocument,
  { node, root }: RetainedPlace,
  signal: AbortSignal,
): Promise<(ManifestNode['roots'][number] & { backup: string }) | undefined> {
  const newest = [...at.backups]
    .filter(({ partial }) => !partial?.includes(node))
    .sort((a, b) => b.epoch - a.epoch)
    .slice(0, SEARCHED_BACKUPS);
  for (const entry of newest) {
    const manifest = await readManifest(repository, entry, { signal });
    const tree = manifest.nodes.find(({ id }) => id === node)?.roots.find(({ name }) => name === root);
    if (tree) return { ...tree, backup: entry.id };
  }
  return undefined;
}

/** Keeps what an attempt leaves for the case that it is committed. */
export function writeRetaining(place: Pick<RetainedPlace, 'workDirectory' | 'root'>, retaining: Retaining): void {
  writeState(`${retainingPath(place)}.json`, retaining);
}

/** Makes the attempt's tree the retained one. Whole or not at all; what was done already is left as it is. */
export function promoteRetained(
  place: Pick<RetainedPlace, 'stateDir' | 'workDirectory' | 'root'>,
  committed: { backup: string; repository: string },
): void {
  const from = retainingPath(place);
  const retaining = readState<Retaining>(`${from}.json`, record(retainingState));
  if (!retaining) return;
  if (!/^[0-9a-f]{32}$/.test(committed.repository) || !/^[\w-]+$/.test(committed.backup)) {
    throw new HomarusError('BadInput', `"${committed.repository}" and "${committed.backup}" are no ids`);
  }
  const directory = directoryOf(place.stateDir, committed.repository);
  const prefix = `${rootFile(place.root)}~`;
  const rows = `${prefix}${committed.backup}`;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  renameSync(from, join(directory, rows));
  const header: Header = { version: 1, backup: committed.backup, rows, ...retaining };
  writeState(join(directory, `${rootFile(place.root)}.json`), header);
  rmSync(`${from}.json`);
  for (const name of namesIn(directory)) {
    if (name.startsWith(prefix) && name !== rows) rmSync(join(directory, name), { force: true });
  }
}
