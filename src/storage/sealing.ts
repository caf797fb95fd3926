import { hkdfSync } from 'node:crypto';
import { blake3 } from './hash.ts';

/** What names chunks and seals blocks: docs/format.md, sections 1 and 7. Plain values, so that threads can be handed it. */
export interface Sealing {
  /** 16 bytes. */
  readonly repositoryId: Uint8Array;
  /** Only of an encrypted repository; 32 bytes each. */
  readonly keys?: SealingKeys;
}

export interface SealingKeys {
  /** Names chunks; the same for the repository's life. */
  readonly chunks: Uint8Array;
  /** Stands between names and what shows of them in keys of objects. */
  readonly names: Uint8Array;
  /** By their generation; generation 0 seals documents. */
  readonly generations: ReadonlyMap<number, Uint8Array>;
  /** The generation that packs, indexes and staged lists are sealed with now. */
  readonly present: number;
}

export const DOCUMENTS_GENERATION = 0;
export const KEY_BYTES = 32;

/** HKDF-SHA256 (RFC 5869), 32 bytes. */
export const derive = (from: Uint8Array, salt: Uint8Array, purpose: string): Buffer =>
  Buffer.from(hkdfSync('sha256', from, salt, `homarus ${purpose}`, KEY_BYTES));

/** What a chunk is called: the hash of its content, which nobody can guess from outside when there is a key. */
export const nameChunk = (sealing: Sealing, content: Uint8Array): Buffer =>
  blake3.hash([content], sealing.keys?.chunks);

const PSEUDONYM_BYTES = 16;

/** How a name stands in the key of an object: as it is, or as 32 hex digits that tell nothing where there is a key. */
export function shownName({ keys }: Sealing, name: string): string {
  if (!keys) return name;
  return blake3.hash([Buffer.from(name)], keys.names).toString('hex', 0, PSEUDONYM_BYTES);
}
