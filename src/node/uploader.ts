import { join } from 'node:path';
import { keys } from '../domain/documents.ts';
import type { StagedList, UploadReceipt } from '../domain/operations.ts';
import { ENTRY_BYTES } from '../storage/chunkIndex.ts';
import { asBuffer } from '../storage/hash.ts';
import { newPackId } from '../storage/ids.ts';
import { lockLost } from '../storage/lock.ts';
import { release } from '../storage/memory.ts';
import { CHUNK_RECORD_BYTES } from '../storage/plan.ts';
import type { Repository } from '../storage/repository.ts';
import { presentRoot } from '../storage/roots.ts';
import { SeenRoots } from '../storage/seen.ts';
import { readStaged, stageJson, stageRecords, stagingOf } from '../storage/staging.ts';
import { inFlight } from './inFlight.ts';
import type { JobContext } from './job.ts';
import type { BuiltPack, PackArgs } from './packTask.ts';
import { SourceReader } from './sources.ts';
import { Throttle } from './throttle.ts';
import { UploadJournal } from './uploadJournal.ts';
import type { Share } from './uploadOrder.ts';
import { cutShares, orderUpload, sortEntries } from './uploadOrder.ts';

export interface UploadInput {
  node: string;
  operation: string;
  epoch: number;
  stateDir: string;
  /** What the plan asks of this node. */
  wanted: StagedList;
  /** That of the attempt, with what the snapshot left there. */
  workDirectory: string;
  /** Requests to the storage at once. */
  requests?: number;
  /** At most so much is sent. */
  bytesPerSecond?: number | undefined;
}

/** Packs on their way to the storage at once, beside those that are being built. */
export const STORING = 3;

/**
 * Uploads the chunks that the plan asks of this node and stages what the commit needs: index entries and packs. Memory:
 * as many packs as threads and stores together. Called again, it goes on after the last pack that was stored.
 */
export async function upload(repository: Repository, input: UploadInput, context: JobContext): Promise<UploadReceipt> {
  const { node, epoch, workDirectory } = input;
  const { signal, pool, progress } = context;
  const { pack: cut } = repository.parameters;
  const present = await presentRoot(repository, { signal });
  await new SeenRoots(input.stateDir).check(repository, present);
  if (present.root.epoch !== epoch) throw lockLost(present.root, epoch);
  const throttle = input.bytesPerSecond ? new Throttle(input.bytesPerSecond) : undefined;
  const sources = new SourceReader(workDirectory);
  const journal = new UploadJournal(join(workDirectory, 'uploaded'));
  /** Of packs that are stored: taking it anew costs as much as compressing does. */
  const rooms: ArrayBuffer[] = [];

  const send = async (share: Share): Promise<void> => {
    context.throwIfStopped();
    const id = newPackId(epoch);
    context.at(sources.at(share.first).path);
    const room = rooms.pop();
    const args: PackArgs = {
      node,
      sealing: repository.sealing,
      id,
      block: cut.block,
      level: repository.level,
      raw: share.bytes,
      chunks: share.chunks,
      workDirectory,
      room,
    };
    const built = await pool.run<BuiltPack>('buildPack', args, {
      transfer: [share.chunks.buffer, ...(room ? [room] : [])],
    });
    await throttle?.take(built.body.length, signal);
    context.throwIfStopped();
    await repository.store.create(keys.pack(id), built.body, { signal });
    rooms.push(built.body.buffer);
    journal.append({ ref: built.pack, raw: share.bytes, entries: asBuffer(built.entries) });
    release(built.entries);
    progress.bytesDone += share.bytes;
    progress.filesDone += share.begun;
  };

  try {
    const wanted = readStaged(repository, input.wanted, CHUNK_RECORD_BYTES, { signal });
    const order = await orderUpload(wanted, journal.packs(), { node, workDirectory });
    progress.bytesTotal = order.bytes;
    progress.filesTotal = order.files;
    try {
      await inFlight(
        pool.threads + Math.min(STORING, input.requests ?? STORING),
        cutShares(order.chunks.sorted(), cut.size),
        send,
      );
    } finally {
      order.chunks.close();
    }
    return await stage(repository, input, journal, context);
  } finally {
    journal.close();
    sources.close();
  }
}

async function stage(
  repository: Repository,
  input: UploadInput,
  journal: UploadJournal,
  { signal }: JobContext,
): Promise<UploadReceipt> {
  const prefix = stagingOf(repository.sealing, input, input.node);
  const packs = [...journal.packs()].map(({ ref, raw }) => ({ ref, raw }));
  const entries = sortEntries(journal.packs(), join(input.workDirectory, 'entries'));
  try {
    return {
      node: input.node,
      entries: await stageRecords(repository, `${prefix}entries`, ENTRY_BYTES, entries.sorted(), { signal }),
      packs: await stageJson(
        repository,
        `${prefix}packs`,
        packs.map(({ ref }) => ref),
        { signal },
      ),
      packCount: packs.length,
      chunks: packs.reduce((sum, { ref }) => sum + ref.chunks, 0),
      bytes: packs.reduce((sum, { raw }) => sum + raw, 0),
      stored: packs.reduce((sum, { ref }) => sum + ref.length, 0),
    };
  } finally {
    entries.close();
  }
}
