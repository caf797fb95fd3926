import type { SpaceUse } from '../domain/documents.ts';
import type { RewriteLimits } from '../domain/requests.ts';
import { ENTRY_BYTES } from './chunkIndex.ts';
import type { CallOptions } from './objectStore.ts';
import type { PackRef } from './pack.ts';
import { readEntry } from './pack.ts';
import type { ChunkUse } from './references.ts';

/** How much of each pack is used, and which packs are worth being rewritten. */

export interface PackUse {
  pack: PackRef;
  /** Chunks that are used, and those of damaged packs that it has a copy of. */
  chunks: number;
  copies: number;
  /** Of the object, bytes: what its used chunks take, and the rest. A small chunk has its share of its block. */
  used: number;
  unused: number;
  /** Content that the indexes name in it, bytes. */
  raw: number;
}

/**
 * In the order of `use.union.packs`. `block`: content of a block of small chunks, bytes; `damaged`: ids of packs that the
 * root calls so.
 */
export async function usePacks(
  use: ChunkUse,
  { block, damaged = new Set() }: { block: number; damaged?: ReadonlySet<string> },
  options: CallOptions = {},
): Promise<PackUse[]> {
  const { packs } = use.union;
  const column = (): Float64Array => new Float64Array(packs.length);
  const chunks = column();
  /** Chunks with blocks of their own: as stored. */
  const alone = column();
  const aloneUsed = column();
  /** Chunks that share blocks: their content. */
  const shared = column();
  const sharedUsed = column();
  const raw = column();
  const copies = column();
  const numbers = new Map(packs.map(({ id }, place) => [id, place]));
  let number = 0;
  for await (const batch of use.union.entries()) {
    options.signal?.throwIfAborted();
    for (let at = 0; at < batch.length; at += ENTRY_BYTES, number++) {
      const { pack, stored, length } = readEntry(batch, at);
      const used = use.isUsed(number) ? 1 : 0;
      chunks[pack]! += used;
      if (used && damaged.has((packs[pack] as PackRef).id)) {
        // What is left of a damaged pack stays, and so does every copy.
        for (const copy of await copiesOf(use, batch.subarray(at), options)) copies[numbers.get(copy) as number]! += 1;
      }
      raw[pack]! += length;
      if (length >= block) {
        alone[pack]! += stored;
        aloneUsed[pack]! += used * stored;
      } else {
        shared[pack]! += length;
        sharedUsed[pack]! += used * length;
      }
    }
  }
  return packs.map((pack, place) => {
    const at = (numbers: Float64Array): number => numbers[place] as number;
    // Header and footer are counted with the small chunks, or by the chunk where there are none.
    const rest = pack.length - at(alone);
    const share = at(shared) > 0 ? at(sharedUsed) / at(shared) : at(chunks) / pack.chunks;
    const used = Math.round(at(aloneUsed) + rest * share);
    return { pack, chunks: at(chunks), copies: at(copies), used, unused: pack.length - used, raw: at(raw) };
  });
}

/** Ids of the packs that hold a chunk. */
async function copiesOf({ union }: ChunkUse, chunk: Buffer, options: CallOptions): Promise<string[]> {
  const found = await Promise.all(union.indexes.map((index) => index.find(chunk, options)));
  return found.flatMap((copy) => (copy ? [copy.pack.id] : []));
}

/** More packs than these that are less than half full are put together. */
const MOST_SMALL = 8;

/**
 * The packs to rewrite: those with the largest unused share, until little enough is left; and the small ones when there
 * are many, whatever is in them. `size`: content of a full pack, bytes. Packs without anything used need no rewriting.
 */
export function packsToRewrite(uses: readonly PackUse[], size: number, limits: RewriteLimits): PackUse[] {
  const inUse = uses.filter(({ chunks }) => chunks > 0);
  const allowed = limits.maxUnused * sum(inUse, 'used');
  let unused = sum(inUse, 'unused');
  let moved = 0;
  const chosen = new Set<PackUse>();
  const choose = (use: PackUse): void => {
    if (moved + use.used > (limits.maxRepackBytes ?? Number.POSITIVE_INFINITY)) return;
    moved += use.used;
    unused -= use.unused;
    chosen.add(use);
  };
  for (const use of inUse.toSorted((a, b) => b.unused / b.pack.length - a.unused / a.pack.length)) {
    if (unused <= allowed || use.unused === 0) break;
    choose(use);
  }
  const small = inUse.filter(({ raw }) => raw < size / 2);
  if (small.length > MOST_SMALL) {
    for (const use of small.toSorted((a, b) => a.used - b.used)) if (!chosen.has(use)) choose(use);
  }
  return [...chosen];
}

/** True when `packsToRewrite` would choose some. */
export const isWasteful = ({ used, unused, small }: SpaceUse, { maxUnused }: RewriteLimits): boolean =>
  unused > maxUnused * used || small > MOST_SMALL;

export function spaceOf(uses: readonly PackUse[], size: number, epoch: number): SpaceUse {
  const inUse = uses.filter(({ chunks }) => chunks > 0);
  const small = inUse.filter(({ raw }) => raw < size / 2).length;
  return { epoch, used: sum(inUse, 'used'), unused: sum(inUse, 'unused'), small };
}

const sum = (uses: readonly PackUse[], count: 'used' | 'unused'): number =>
  uses.reduce((all, use) => all + use[count], 0);
