import { asBuffer } from '../storage/hash.ts';
import type { PackRef } from '../storage/pack.ts';
import { checkPack } from '../storage/pack.ts';
import type { Sealing } from '../storage/sealing.ts';

export interface CheckPackArgs {
  sealing: Sealing;
  pack: PackRef;
  /** The whole object. */
  stored: Uint8Array;
}

/** Verifies a pack chunk by chunk. */
export function checkStoredPack({ sealing, pack, stored }: CheckPackArgs): void {
  checkPack(sealing, pack, asBuffer(stored));
}
