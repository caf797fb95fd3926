import { isDeepStrictEqual } from 'node:util';
import { keys } from '../domain/documents.ts';
import { type HomarusError, isLoss } from '../domain/errors.ts';
import type { PackShare, PacksReceipt } from '../domain/operations.ts';
import type { ReadData } from '../domain/requests.ts';
import type { Damage } from '../domain/results.ts';
import { damaged } from '../storage/block.ts';
import { readRange } from '../storage/footer.ts';
import { blake3 } from '../storage/hash.ts';
import { openReadable } from '../storage/openIndexes.ts';
import type { PackRef } from '../storage/pack.ts';
import { packPlace, readPackFooter } from '../storage/pack.ts';
import { reportOf, writeReport } from '../storage/report.ts';
import type { Repository } from '../storage/repository.ts';
import { missing } from '../storage/repository.ts';
import { presentRoot, readRoot } from '../storage/roots.ts';
import { inFlight } from './inFlight.ts';
import type { JobContext } from './job.ts';

export interface VerifyPacksInput {
  /** Workflow id. */
  operation: string;
  /** Number of the root whose packs are verified; the present one when it was swept. */
  root: number;
  share: PackShare;
  /** Of all packs, the same ones for all shares of one operation. */
  readData: ReadData | null;
}

/** Footers under way; whole packs under way beyond those that threads check. */
const FOOTERS = 16;
const WAITING_PACKS = 1;

/**
 * Verifies a share of the packs that a root leads to: that each is there with its length and a footer that fits, and of those
 * that are chosen every chunk. Changes nothing but for the list of what it found, in the storage.
 */
export async function verifyPacks(
  repository: Repository,
  input: VerifyPacksInput,
  context: JobContext,
): Promise<PacksReceipt> {
  const { signal, progress } = context;
  const packs = await packsOf(repository, input.root, signal);
  const read = chosen(packs, input);
  const own = packs.filter(({ id }) => shareOf(id, input.share.of) === input.share.number);
  const whole = own.filter(({ id }) => read.has(id));
  const receipt: PacksReceipt = {
    packs: own.length,
    bytes: sum(own),
    readPacks: whole.length,
    readBytes: sum(whole),
    damaged: 0,
    list: null,
  };
  progress.filesTotal = own.length;
  progress.bytesTotal = receipt.readBytes;
  const sizes = await listedSizes(repository, own, signal);
  const found = new Map<string, Damage>();
  const check = async (pack: PackRef, work: () => Promise<void>): Promise<void> => {
    context.throwIfStopped();
    context.at(keys.pack(pack.id));
    try {
      await work();
    } catch (error) {
      if (!isLoss(error)) throw error;
      found.set(pack.id, { kind: 'pack', key: keys.pack(pack.id), ...reasonOf(error) });
    }
  };
  await inFlight(FOOTERS, own, (pack) =>
    check(pack, () => checkPlace(repository, pack, sizes.get(pack.id), signal)).then(() => {
      progress.filesDone++;
    }),
  );
  const intact = whole.filter(({ id }) => !found.has(id));
  await inFlight(context.pool.threads + WAITING_PACKS, intact, (pack) =>
    check(pack, () => checkWhole(repository, pack, context)).then(() => {
      progress.bytesDone += pack.length;
    }),
  );
  if (found.size > 0) {
    const prefix = `${reportOf(repository.sealing, input.operation)}packs-${input.share.number}`;
    receipt.damaged = found.size;
    receipt.list = await writeReport(repository, prefix, found.values(), { signal });
  }
  return receipt;
}

/** In the order of their ids, each once. */
async function packsOf(repository: Repository, number: number, signal: AbortSignal): Promise<PackRef[]> {
  const { root } = (await readRoot(repository, number, { signal })) ?? (await presentRoot(repository, { signal }));
  const packs = new Map<string, PackRef>();
  for (const index of await openReadable(repository, root, { signal })) {
    for (const pack of index.packs) packs.set(pack.id, pack);
  }
  return [...packs.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Ids of the packs to be read whole: in an order that each operation draws anew, until it is enough. */
function chosen(packs: readonly PackRef[], { readData, operation }: VerifyPacksInput): ReadonlySet<string> {
  if (readData === null) return new Set();
  const wanted = 'percent' in readData ? (sum(packs) * readData.percent) / 100 : readData.bytes;
  const rankOf = (id: string): string => blake3.hash([Buffer.from(`${operation}/${id}`)]).toString('hex');
  const drawn = packs.map((pack) => ({ pack, rank: rankOf(pack.id) })).sort((a, b) => (a.rank < b.rank ? -1 : 1));
  const read = new Set<string>();
  let bytes = 0;
  for (const { pack } of drawn) {
    if (bytes >= wanted) break;
    read.add(pack.id);
    bytes += pack.length;
  }
  return read;
}

const shareOf = (id: string, shares: number): number => blake3.hash([Buffer.from(id)]).readUInt32LE() % shares;

const sum = (packs: readonly PackRef[]): number => packs.reduce((bytes, { length }) => bytes + length, 0);

async function listedSizes(
  repository: Repository,
  own: readonly PackRef[],
  signal: AbortSignal,
): Promise<Map<string, number>> {
  const wanted = new Set(own.map(({ id }) => id));
  const sizes = new Map<string, number>();
  for await (const { key, size } of repository.store.list('packs/', { signal })) {
    const id = key.slice('packs/'.length);
    if (wanted.has(id)) sizes.set(id, size);
  }
  return sizes;
}

/** `size`: as listed. */
async function checkPlace(
  repository: Repository,
  pack: PackRef,
  size: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  const place = packPlace(pack.id);
  if (size === undefined) throw missing(repository, 'pack', place.key);
  if (size !== pack.length) throw damaged(place, `it has ${size} bytes, not ${pack.length}`);
  if (!isDeepStrictEqual((await readPackFooter(repository, pack, { signal })).pack, pack)) {
    throw damaged(place, 'its footer is not the one that the index names');
  }
}

async function checkWhole(repository: Repository, pack: PackRef, { pool, signal }: JobContext): Promise<void> {
  const stored = await readRange(repository, packPlace(pack.id), 0, pack.length, { signal });
  const { sealing } = repository;
  const whole = stored.buffer.byteLength === stored.length;
  await pool.run('checkPack', { sealing, pack, stored }, whole ? { transfer: [stored.buffer as ArrayBuffer] } : {});
}

const reasonOf = ({ code, message }: HomarusError): Pick<Damage, 'code' | 'reason'> => ({
  code: code === 'ObjectMissing' ? code : 'ObjectDamaged',
  reason: message,
});
