import type { ChunkAt, TreePage, TreeRef } from '../domain/documents.ts';
import type { Sealing } from '../storage/sealing.ts';
import { nameChunk } from '../storage/sealing.ts';
import type { Row } from '../storage/tree.ts';
import { pageListContent, pageOf, TreePager } from '../storage/tree.ts';
import { AppendFile } from './appendFile.ts';
import type { Locations } from './locations.ts';
import { pagesPath } from './sources.ts';

/** Source 0 of a snapshot: the pages that are new, one after another. */
export class NewPages {
  readonly #file: AppendFile;
  readonly #sealing: Sealing;
  readonly #locations: Locations;

  constructor(workDirectory: string, sealing: Sealing, locations: Locations) {
    this.#sealing = sealing;
    this.#file = new AppendFile(pagesPath(workDirectory));
    this.#locations = locations;
  }

  /** Names the content; keeps it for the upload unless it is among `stored`. */
  add(content: Buffer, stored: ReadonlySet<string>): ChunkAt {
    const hash = nameChunk(this.#sealing, content);
    const chunk = hash.toString('hex');
    if (!stored.has(chunk)) this.#locations.add(hash, content.length, 0, this.#file.append(content));
    return { chunk, length: content.length };
  }

  close(): void {
    this.#file.close();
  }
}

/** Makes a tree of rows that come in order. */
export class TreeWriter {
  readonly #pager: TreePager;
  readonly #newPages: NewPages;
  readonly #stored: ReadonlySet<string>;
  readonly #pages: TreePage[] = [];

  /** `stored`: hashes of pages that the storage has. */
  constructor(newPages: NewPages, stored: ReadonlySet<string>) {
    this.#newPages = newPages;
    this.#stored = stored;
    this.#pager = new TreePager((page, first) => {
      this.#pages.push(pageOf(first, this.#newPages.add(page, this.#stored)));
    });
  }

  add(row: Row): void {
    this.#pager.add(row);
  }

  /** The tree, and the hashes of all chunks that it is made of itself. */
  finish(): { tree: TreeRef; pages: string[] } {
    this.#pager.end();
    const pages = this.#pages.map(({ chunk }) => chunk);
    const list = pageListContent(this.#pages);
    if (!list) return { tree: { pages: this.#pages }, pages };
    const pageList = this.#newPages.add(list, this.#stored);
    return { tree: { pageList, pageCount: pages.length }, pages: [...pages, pageList.chunk] };
  }
}
