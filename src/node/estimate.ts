import type { BigIntStats } from 'node:fs';
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import type { RootDocument } from '../domain/documents.ts';
import type { FileCounts, LeftOutPaths, LeftOutReason, NodeEstimate } from '../domain/results.ts';
import type { Repository } from '../storage/repository.ts';
import { presentRoot } from '../storage/roots.ts';
import { SeenRoots } from '../storage/seen.ts';
import type { BytePath } from './bytePath.ts';
import { shown, toBytePath } from './bytePath.ts';
import { InodeTable } from './firstNames.ts';
import { openForReading, whyUnread } from './hashTask.ts';
import type { JobContext } from './job.ts';
import type { Example, OnUnreadable } from './leftOut.ts';
import { LeftOut } from './leftOut.ts';
import type { Retained, RetainedPlace } from './retained.ts';
import { openRetained } from './retained.ts';
import { isUnchanged } from './rootSnapshot.ts';
import type { Globs } from './select.ts';
import { compileSelection } from './select.ts';
import type { DataRoot, NodeSettings } from './settings.ts';
import type { Selection } from './walk.ts';
import { ownPaths, walk } from './walk.ts';
import { attemptName, PREVIEWS } from './workDirectory.ts';
import { mkdirSync, rmSync } from './writing.ts';

export interface EstimateInput {
  operation: string;
  node: NodeSettings;
  select: Globs;
  onUnreadable: OnUnreadable;
}

/** So often the retained tree is looked for, while a backup that ends puts another in its place. */
const TRIES = 3;

/**
 * What a snapshot of the node would read and an upload store, from the walk and the retained tree alone: no content is read,
 * nothing is linked or written but for a tree that must be read back from the storage, in a directory that goes with this.
 */
export async function estimate(
  repository: Repository,
  input: EstimateInput,
  context: JobContext,
): Promise<NodeEstimate> {
  const { node, operation } = input;
  const present = await presentRoot(repository, { signal: context.signal });
  await new SeenRoots(node.stateDir).check(repository, present);
  const { root: at } = present;
  const workDirectory = join(node.stateDir, PREVIEWS, attemptName({ operation, epoch: at.epoch }));
  mkdirSync(workDirectory, { recursive: true, mode: 0o700 });
  const counted = new Counts(node.id);
  try {
    for (const root of node.roots) {
      const place = { stateDir: node.stateDir, workDirectory, node: node.id, root: root.name };
      const retained = await openFormer(repository, at, place, context);
      try {
        look(root, retained, counted, input, workDirectory, context);
      } finally {
        retained.rows?.close();
      }
    }
    const wouldFail = input.onUnreadable === 'fail' && counted.estimate.leftOut.some(({ why }) => why === 'unreadable');
    return { ...counted.estimate, wouldFail };
  } finally {
    rmSync(workDirectory, { recursive: true, force: true });
  }
}

/** Without the lock, a backup that ends may replace the rows between their name and their opening. */
async function openFormer(
  repository: Repository,
  at: RootDocument,
  place: RetainedPlace,
  context: JobContext,
): Promise<Retained> {
  for (let tries = 1; ; tries++) {
    try {
      return await openRetained(repository, at, place, context);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || tries === TRIES) throw error;
    }
  }
}

function look(
  root: DataRoot,
  retained: Retained,
  counted: Counts,
  { node, select }: EstimateInput,
  spoolDirectory: string,
  context: JobContext,
): void {
  const { progress } = context;
  progress.filesTotal += retained.totals?.files ?? 0;
  progress.bytesTotal += retained.totals?.bytes ?? 0;
  if (retained.rows === undefined) counted.estimate.compared = false;
  // What would end a backup is counted, and told.
  const leftOut = new LeftOut(node.id, root.name, 'skip');
  const { selection, excluded } = noting(compileSelection(select));
  const base = toBytePath(root.path);
  const names = new InodeTable();
  const found = walk({
    ...{ root, selection, leftOut, spoolDirectory },
    own: ownPaths(root, node.stateDir),
    throwIfStopped: () => context.throwIfStopped(),
  });
  for (const { path, type, stats } of found) {
    context.at(path);
    if (type !== 'file' || isFurtherName(names, stats)) continue;
    const former = retained.rows?.find(path);
    const same = former !== undefined && isUnchanged(former, stats, retained.local);
    if (!same && !isReadable(base, path, leftOut)) continue;
    const how = same ? 'unchanged' : former?.type === 'file' ? 'changed' : 'added';
    counted.add(how, Number(stats.size), same && retained.reusable);
    progress.filesDone++;
    progress.bytesDone += Number(stats.size);
  }
  counted.leaves(root.name, { excluded: excluded(), ...leftOut.examples });
}

/** Of a file with several names the first is its content, as in a tree. */
function isFurtherName(names: InodeTable, { nlink, ino }: BigIntStats): boolean {
  if (nlink <= 1n) return false;
  if (names.get(ino) !== undefined) return true;
  names.set(ino, 0);
  return false;
}

function isReadable(base: BytePath, path: BytePath, leftOut: LeftOut): boolean {
  try {
    closeSync(openForReading(`${base}/${path}`));
    return true;
  } catch (error) {
    const unread = whyUnread(error);
    if (unread.why === 'unreadable') leftOut.unreadable(path, unread.reason);
    else leftOut.vanished(path);
    return false;
  }
}

/** The selection, and what it excluded so far. */
function noting(selection: Selection): { selection: Selection; excluded(): Example | undefined } {
  let example: Example | undefined;
  const noted =
    (selects: (path: BytePath) => boolean) =>
    (path: BytePath): boolean => {
      if (selects(path)) return true;
      example = { first: example?.first ?? path, count: (example?.count ?? 0) + 1 };
      return false;
    };
  return {
    selection: { file: noted(selection.file), directory: noted(selection.directory) },
    excluded: () => example,
  };
}

const none = (): FileCounts => ({ files: 0, bytes: 0 });

/** What is added up over the roots of a node. */
class Counts {
  readonly estimate: Omit<NodeEstimate, 'wouldFail'>;

  constructor(node: string) {
    const counts = { added: none(), changed: none(), unchanged: none() };
    this.estimate = { node, compared: true, ...none(), ...counts, storeAtMost: 0, leftOut: [] };
  }

  /** `stored`: the storage has it for certain. */
  add(how: 'added' | 'changed' | 'unchanged', bytes: number, stored: boolean): void {
    for (const counts of [this.estimate, this.estimate[how]]) {
      counts.files++;
      counts.bytes += bytes;
    }
    if (!stored) this.estimate.storeAtMost += bytes;
  }

  leaves(root: string, examples: Partial<Record<LeftOutReason, Example | undefined>>): void {
    for (const [why, example] of Object.entries(examples) as [LeftOutReason, Example | undefined][]) {
      if (example === undefined) continue;
      const one: LeftOutPaths = { root, why, count: example.count, first: shown(example.first) };
      this.estimate.leftOut.push(one);
    }
  }
}
