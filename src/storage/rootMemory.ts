import type { RootDocument } from '../domain/documents.ts';
import type { ListedObject } from './objectStore.ts';

/** A root as it is stored. */
export interface RootAt {
  readonly root: RootDocument;
  /** Of the stored bytes; how many those are. */
  readonly hash: string;
  readonly length: number;
}

/**
 * The root that was read last, so that it is read once: a root never changes. One that another was put in place of, as in a
 * storage that went back to an older state and on from there, has another time or size in the listing, and is read.
 */
export class RootMemory {
  #latest: { at: RootAt; modified: number } | undefined;
  /** Numbers of the roots that the last whole listing showed. */
  listed: readonly number[] = [];

  recall(number: number, { size, modified }: ListedObject): RootAt | undefined {
    const { at, modified: then } = this.#latest ?? {};
    return at?.root.number === number && at.length === size && then === modified ? at : undefined;
  }

  remember(at: RootAt, { modified }: ListedObject): void {
    this.#latest = { at, modified };
  }
}
