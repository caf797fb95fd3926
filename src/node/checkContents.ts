import { HASH_BYTES } from '../storage/hash.ts';
import type { Sealing } from '../storage/sealing.ts';
import type { Row } from '../storage/tree.ts';
import { CHUNK_BYTES } from '../storage/tree.ts';
import { fileAt } from './bytePath.ts';
import type { CheckArgs } from './checkTask.ts';
import type { RestoreRoot, TargetComparison } from './compareTarget.ts';
import { inFlight } from './inFlight.ts';
import type { JobContext } from './job.ts';
import { lstatOf } from './place.ts';
import type { RestorePlan } from './restorePlan.ts';
import { decodePlanned, encodePlanned } from './restorePlan.ts';

/** Most files that one task looks at, and their bytes. */
const BATCH_FILES = 256;
const BATCH_BYTES = 64 * 1024 * 1024;
/** Chunks of one file that one task reads: it must end soon when it is stopped. */
const CHUNKS_AT_ONCE = 8;

interface Doubt {
  root: number;
  row: Row;
  /** What was found right so far: place in the list of chunks, and in the file. */
  checked: number;
  offset: number;
}

/** Compares the content of the files that a plan doubts, in the pool's threads: keeps them, or plans to write them. */
export async function settleDoubts(
  sealing: Sealing,
  plan: RestorePlan,
  roots: readonly RestoreRoot[],
  comparisons: readonly TargetComparison[],
  context: JobContext,
): Promise<void> {
  await inFlight(context.pool.threads + 1, batches(plan), async (batch) => {
    for (let open = batch; open.length > 0; ) {
      context.throwIfStopped();
      context.at(open[0]?.row.path ?? '');
      const parts = open.map((doubt) => nextPart(doubt, roots[doubt.root] as RestoreRoot));
      const right = await context.pool.run<boolean[]>('checkContents', {
        sealing,
        files: parts.map(({ file }) => file),
      } satisfies CheckArgs);
      open = open.filter((doubt, place) => {
        const { row } = doubt;
        if (!right[place]) {
          (comparisons[doubt.root] as TargetComparison).writeAnew(row, foundAt(roots[doubt.root] as RestoreRoot, row));
          return false;
        }
        doubt.checked += parts[place]?.chunks ?? 0;
        doubt.offset += parts[place]?.bytes ?? 0;
        if (doubt.checked < (row.chunks?.length ?? 0)) return true;
        plan.addKept(row);
        plan.mends.add(encodePlanned({ root: doubt.root, row }));
        return false;
      });
    }
  });
}

function* batches(plan: RestorePlan): Generator<Doubt[]> {
  let batch: Doubt[] = [];
  let bytes = 0;
  for (const frame of plan.doubtful.forward()) {
    const { root, row } = decodePlanned(frame);
    batch.push({ root, row, checked: 0, offset: 0 });
    bytes += row.size;
    if (batch.length < BATCH_FILES && bytes < BATCH_BYTES) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

interface Part {
  file: CheckArgs['files'][number];
  /** Bytes of the list of chunks, and of the file. */
  chunks: number;
  bytes: number;
}

function nextPart({ row, checked, offset }: Doubt, root: RestoreRoot): Part {
  const path = fileAt(root.target.root, row.path);
  const file = { path, size: row.size, offset };
  if (!row.chunks) return { file: { ...file, content: row.content }, chunks: 0, bytes: row.size };
  const chunks = row.chunks.subarray(checked, checked + CHUNKS_AT_ONCE * CHUNK_BYTES);
  let bytes = 0;
  for (let at = HASH_BYTES; at < chunks.length; at += CHUNK_BYTES) bytes += chunks.readUInt32LE(at);
  return { file: { ...file, chunks }, chunks: chunks.length, bytes };
}

function foundAt(root: RestoreRoot, { path }: Row) {
  const stat = lstatOf(fileAt(root.target.root, path));
  return stat && { path, stat };
}
