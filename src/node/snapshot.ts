import type { ManifestNode, ManifestRoot } from '../domain/documents.ts';
import type { SnapshotReceipt } from '../domain/operations.ts';
import { lockLost } from '../storage/lock.ts';
import { CHUNK_RECORD_BYTES } from '../storage/plan.ts';
import type { Repository } from '../storage/repository.ts';
import { presentRoot } from '../storage/roots.ts';
import { SeenRoots } from '../storage/seen.ts';
import { stageJson, stageRecords, stagingOf } from '../storage/staging.ts';
import type { JobContext } from './job.ts';
import type { OnUnreadable } from './leftOut.ts';
import { LeftOut } from './leftOut.ts';
import { LinkDirectory } from './linkDirectory.ts';
import { Locations } from './locations.ts';
import { openRetained } from './retained.ts';
import type { SnapshotCounts } from './rootSnapshot.ts';
import { RootSnapshot } from './rootSnapshot.ts';
import type { Globs } from './select.ts';
import { compileSelection } from './select.ts';
import type { NodeSettings, OperationRef } from './settings.ts';
import { SourceWriter } from './sources.ts';
import { NewPages } from './treeWriter.ts';
import { attemptName, dropWork, workDirectory } from './workDirectory.ts';
import { mkdirSync } from './writing.ts';

export interface SnapshotInput extends OperationRef {
  node: NodeSettings;
  /** For people: the machine that the node is. */
  host: string;
  /** Number of the root that took the lock. */
  root: number;
  select: Globs;
  onUnreadable: OnUnreadable;
}

/**
 * Takes a snapshot of a node: hard links what the storage may need, hashes what changed, and stages the list of chunks and
 * the trees. Called again for the same attempt it begins anew. What is left on the node is `finish`'s to remove.
 */
export async function snapshot(
  repository: Repository,
  input: SnapshotInput,
  context: JobContext,
): Promise<SnapshotReceipt> {
  const { node, epoch } = input;
  const { signal } = context;
  const present = await presentRoot(repository, { signal });
  await new SeenRoots(node.stateDir).check(repository, present);
  const { root } = present;
  if (root.number !== input.root) throw lockLost(root, epoch);

  const links = node.roots.map((one) => new LinkDirectory(node.id, one));
  for (const directory of links) {
    directory.ensureUsable();
    directory.dropLeftovers();
  }
  const work = workDirectory(node.stateDir, input);
  // What earlier attempts left, this one's too.
  dropWork(node.stateDir, () => true);
  mkdirSync(work, { recursive: true, mode: 0o700 });

  const opened = links.map((directory) => directory.open(attemptName(input)));
  const locations = new Locations(work);
  const newPages = new NewPages(work, repository.sealing, locations);
  const sources = new SourceWriter(
    work,
    node.roots.map(({ name, path }, place) => ({ name, path, links: opened[place]?.base ?? '' })),
  );
  const counts: SnapshotCounts = { hashedBytes: 0, linked: 0, unchanged: 0 };
  const roots: ManifestRoot[] = [];
  try {
    const selection = compileSelection(input.select);
    for (const [number, dataRoot] of node.roots.entries()) {
      const place = { stateDir: node.stateDir, workDirectory: work, node: node.id, root: dataRoot.name };
      const leftOut = new LeftOut(node.id, dataRoot.name, input.onUnreadable);
      const retained = await openRetained(repository, root, place, context);
      try {
        const one = new RootSnapshot({
          node,
          root: dataRoot,
          number,
          place,
          leftOut,
          retained,
          selection,
          links: opened[number]!,
          sources,
          locations,
          newPages,
          sealing: repository.sealing,
          chunker: repository.parameters.chunker,
          counts,
          context,
        });
        roots.push(await one.take());
      } finally {
        retained.rows?.close();
      }
      for (const warning of leftOut.warnings()) context.warn(warning);
    }
    sources.close();
    newPages.close();
    const prefix = stagingOf(repository.sealing, input, node.id);
    const chunks = await stageRecords(repository, `${prefix}chunks`, CHUNK_RECORD_BYTES, locations.write(), { signal });
    const document: ManifestNode = { id: node.id, az: node.az, host: input.host, roots };
    const staged = await stageJson(repository, `${prefix}snapshot`, document, { signal });
    return { node: node.id, chunks, snapshot: staged, moments: momentsOf(roots), ...totalsOf(roots), ...counts };
  } finally {
    locations.close();
  }
}

function momentsOf(roots: readonly ManifestRoot[]): SnapshotReceipt['moments'] {
  const moments = roots.map(({ snapshotAt }) => snapshotAt).sort();
  return { first: moments.at(0) as string, last: moments.at(-1) as string };
}

function totalsOf(roots: readonly ManifestRoot[]): Pick<SnapshotReceipt, 'totals' | 'skipped' | 'vanished'> {
  const sum = (count: (root: ManifestRoot) => number): number => roots.reduce((all, root) => all + count(root), 0);
  return {
    totals: {
      entries: sum(({ totals }) => totals.entries),
      files: sum(({ totals }) => totals.files),
      bytes: sum(({ totals }) => totals.bytes),
    },
    skipped: sum(({ skipped }) => skipped),
    vanished: sum(({ vanished }) => vanished),
  };
}
