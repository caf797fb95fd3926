import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { IndexRef, TreePage, TreeRef } from '../../src/domain/documents.ts';
import { keys } from '../../src/domain/documents.ts';
import { fileAt, toBytePath } from '../../src/node/bytePath.ts';
import { cutLengths } from '../../src/storage/chunker.ts';
import { ENTRY_BYTES, writeIndex } from '../../src/storage/chunkIndex.ts';
import { newPackId } from '../../src/storage/ids.ts';
import type { PackRef } from '../../src/storage/pack.ts';
import { PackBuilder } from '../../src/storage/pack.ts';
import type { Repository, RepositoryParameters } from '../../src/storage/repository.ts';
import { nameChunk } from '../../src/storage/sealing.ts';
import type { Row } from '../../src/storage/tree.ts';
import { pageListContent, pageOf, TreePager } from '../../src/storage/tree.ts';

/** The smallest of everything, so that little data has many chunks, blocks and packs. */
export const smallParameters: Pick<RepositoryParameters, 'chunker' | 'pack'> = {
  chunker: { kind: 'fixed', size: 65_536, minimum: 4_096, inline: 128 },
  pack: { size: 262_144, block: 32_768 },
};

export interface StoredTree {
  tree: TreeRef;
  index: IndexRef;
  rows: Row[];
  /** Ids, in the order in which chunks were added. */
  packs: string[];
}

/** Stores a directory the short way, without a snapshot and in memory: what a restore has to read. */
export async function storeTree(
  repository: Repository,
  directory: string,
  o: { epoch?: number; change?: (rows: Row[]) => Row[] } = {},
): Promise<StoredTree> {
  const { epoch = 1, change = (rows) => rows } = o;
  const store = new ChunkStore(repository, epoch);
  const rows = change(rowsOf(repository, toBytePath(directory), store));
  const pages: TreePage[] = [];
  const pager = new TreePager((page, first) => {
    const content = Buffer.from(page);
    pages.push(pageOf(first, { chunk: store.add(content).toString('hex'), length: content.length }));
  });
  for (const row of rows) pager.add(row);
  pager.end();
  const list = pageListContent(pages);
  const tree: TreeRef = list
    ? { pageList: { chunk: store.add(list).toString('hex'), length: list.length }, pageCount: pages.length }
    : { pages };
  const { index, packs } = await store.finish();
  return { tree, rows, index, packs };
}

function rowsOf(repository: Repository, root: string, store: ChunkStore): Row[] {
  const links = new Map<number, string>();
  const { inline } = repository.parameters.chunker;
  const visit = (path: string): Row[] => {
    const place = fileAt(root, path);
    const stat = lstatSync(place, { bigint: true });
    const row: Row = {
      path,
      type: 'file',
      size: 0,
      mtime: stat.mtimeNs,
      mode: Number(stat.mode) & 0o7777,
      uid: Number(stat.uid),
      gid: Number(stat.gid),
    };
    if (stat.isDirectory()) {
      const names = readdirSync(place, { encoding: 'latin1' }).filter((name) => name !== '.homarus');
      const below = names.sort().flatMap((name) => visit(path === '' ? name : `${path}/${name}`));
      return [{ ...row, type: 'directory' }, ...below];
    }
    if (stat.isSymbolicLink()) return [{ ...row, type: 'symlink', target: readlinkSync(place, 'latin1') }];
    const first = links.get(Number(stat.ino));
    if (first !== undefined) return [{ ...row, type: 'hardlink', target: first }];
    if (stat.nlink > 1n) links.set(Number(stat.ino), path);
    const content = readFileSync(place);
    row.size = content.length;
    if (Number(stat.blocks) * 512 + 4096 <= content.length) row.sparse = true;
    if (content.length === 0) return [row];
    if (content.length <= inline) return [{ ...row, content }];
    const chunks: Buffer[] = [];
    let at = 0;
    for (const length of cutLengths(content.length, repository.parameters.chunker)) {
      const chunk = Buffer.alloc(36);
      store.add(content.subarray(at, at + length)).copy(chunk);
      chunk.writeUInt32LE(length, 32);
      chunks.push(chunk);
      at += length;
    }
    return [{ ...row, chunks: Buffer.concat(chunks) }];
  };
  return visit('');
}

class ChunkStore {
  readonly #repository: Repository;
  readonly #epoch: number;
  readonly #chunks = new Map<string, Buffer>();

  constructor(repository: Repository, epoch: number) {
    this.#repository = repository;
    this.#epoch = epoch;
  }

  add(content: Buffer): Buffer {
    const hash = nameChunk(this.#repository.sealing, content);
    this.#chunks.set(hash.toString('hex'), content);
    return hash;
  }

  async finish(): Promise<{ index: IndexRef; packs: string[] }> {
    const packs: PackRef[] = [];
    const entries: Buffer[] = [];
    const { parameters, sealing, level, store } = this.#repository;
    const waiting = [...this.#chunks];
    while (waiting.length > 0) {
      const id = newPackId(this.#epoch);
      const builder = new PackBuilder(sealing, id, { block: parameters.pack.block, level });
      while (waiting.length > 0 && builder.rawBytes < parameters.pack.size) {
        const [hash, content] = waiting.shift()!;
        builder.add(Buffer.from(hash, 'hex'), content);
      }
      const built = builder.finish();
      await store.create(keys.pack(id), built.body);
      for (let at = 0; at < built.entries.length; at += ENTRY_BYTES) {
        const entry = built.entries.subarray(at, at + ENTRY_BYTES);
        entry.writeUInt32LE(packs.length, 32);
        entries.push(entry);
      }
      packs.push(built.pack);
    }
    entries.sort((a, b) => a.compare(b, 0, 32, 0, 32));
    const index = await writeIndex(this.#repository, this.#epoch, [Buffer.concat(entries)], packs);
    return { index, packs: packs.map(({ id }) => id) };
  }
}
