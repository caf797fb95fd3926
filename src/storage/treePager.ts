import type { ChunkAt, TreePage } from '../domain/documents.ts';
import { RowWriter } from './rowWriter.ts';
import type { Row } from './treeRow.ts';
import { CHUNK_BYTES } from './treeRow.ts';

/** Writing trees: docs/format.md, section 4. */

const MOST_CHUNKS_PER_ROW = 1000;
const MOST_PAGE_BYTES = 512 * 1024;
/** Bytes that a row is taken for beside its path, target, content and chunks. */
const ROW_WEIGHT = 32;
/** A longer list of pages stands in a chunk. */
const MOST_PAGES_IN_MANIFEST = 64;

/** Cuts rows, which come in order, into pages. */
export class TreePager {
  readonly #emit: (page: Buffer, firstPath: string) => void;
  readonly #rows = new RowWriter();
  #first = '';
  #previous = '';

  /** Each page is handed to `emit`, which may keep it. */
  constructor(emit: (page: Buffer, firstPath: string) => void) {
    this.#emit = emit;
  }

  /** A file's row may bear any number of chunks; it is cut in runs here. */
  add(row: Row): void {
    const { chunks } = row;
    const runBytes = MOST_CHUNKS_PER_ROW * CHUNK_BYTES;
    if (chunks === undefined || chunks.length <= runBytes) {
      this.#add(row);
    } else {
      for (let run = 0; run * runBytes < chunks.length; run++) {
        this.#add({ ...row, run, chunks: chunks.subarray(run * runBytes, (run + 1) * runBytes) });
      }
    }
    if (endsPage(row)) this.end();
  }

  /** Emits what is left. */
  end(): void {
    if (this.#rows.length > 0) this.#emit(this.#rows.take(), this.#first);
  }

  #add(row: Row): void {
    const before = this.#rows.length;
    if (before > 0) {
      this.#rows.add(row, this.#previous);
      if (this.#rows.length > MOST_PAGE_BYTES) {
        this.#rows.rewind(before);
        this.end();
      }
    }
    if (this.#rows.length === 0) {
      this.#first = row.path;
      this.#rows.add(row, '');
    }
    this.#previous = row.path;
  }
}

/**
 * A heavy row ends a page more often than a light one, so that pages come to about 64 KiB whatever they hold; and what
 * decides is the row alone, so that a change moves no other cut.
 */
function endsPage({ path, target, content, chunks }: Row): boolean {
  const weight = ROW_WEIGHT + path.length + (target?.length ?? 0) + (content?.length ?? 0) + (chunks?.length ?? 0);
  return hashOf(path) < weight;
}

/** http://www.isthe.com/chongo/tech/comp/fnv/: FNV-1a with 32 bits, folded to 16. */
function hashOf(path: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < path.length; at++) hash = Math.imul(hash ^ path.charCodeAt(at), 0x01000193);
  return (hash >>> 16) ^ (hash & 0xffff);
}

export const pageOf = (first: string, at: ChunkAt): TreePage => ({
  first: Buffer.from(first, 'latin1').toString('base64'),
  ...at,
});

/** The content of the chunk that holds a long list of pages; undefined when the list stands in the manifest. */
export function pageListContent(pages: readonly TreePage[]): Buffer | undefined {
  return pages.length > MOST_PAGES_IN_MANIFEST ? Buffer.from(JSON.stringify({ pages })) : undefined;
}
