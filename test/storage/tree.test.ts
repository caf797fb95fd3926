import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ChunkReader } from '../../src/storage/chunkReader.ts';
import { blake3 } from '../../src/storage/hash.ts';
import type { Row } from '../../src/storage/tree.ts';
import {
  comparePaths,
  decodeRows,
  encodeRow,
  pageListContent,
  pageOf,
  readTree,
  TreePager,
} from '../../src/storage/tree.ts';

const name = fc.oneof(
  fc.constantFrom('a', 'b', 'a-b', '-', '.x', '\xff', '\n', 'aa'),
  fc
    .uint8Array({ minLength: 1, maxLength: 5 })
    .map((bytes) =>
      Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f || byte === 0x2e ? 1 : byte))).toString('latin1'),
    ),
);
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
const big = fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n });
const row = fc
  .record({
    path,
    mtime: big,
    mode: fc.nat(0o7777),
    uid: fc.nat(),
    gid: fc.nat(),
    kind: fc.nat(3),
    chunks: fc.nat(5),
    inode: fc.option(fc.bigInt({ min: 1n, max: 2n ** 63n }), { nil: undefined }),
  })
  .map(({ kind, chunks, inode, ...common }): Row => {
    const base = { ...common, size: 0, ...(inode === undefined ? {} : { inode }) };
    if (kind === 0) return { ...base, type: 'directory' };
    if (kind === 1) return { ...base, type: 'symlink', target: '../\xe9' };
    if (kind === 2) return { ...base, type: 'hardlink', target: 'first' };
    return { ...base, type: 'file', ...chunked(chunks) };
  });
const rows = fc
  .uniqueArray(row, { selector: (one) => one.path, maxLength: 40 })
  .map((all) => all.sort((a, b) => comparePaths(a.path, b.path)));

function chunked(count: number): Pick<Row, 'size' | 'chunks' | 'content'> {
  if (count === 0) return { size: 3, content: Buffer.from('abc') };
  const chunks = Buffer.alloc(count * 36, 7);
  for (let at = 32; at < chunks.length; at += 36) chunks.writeUInt32LE(1_000, at);
  return { size: count * 1_000, chunks };
}

/** Pages in memory instead of chunks of a storage. */
function treeOf(all: readonly Row[]) {
  const contents = new Map<string, Buffer>();
  const pages: ReturnType<typeof pageOf>[] = [];
  const pager = new TreePager((page, first) => {
    const chunk = blake3.hash([page]).toString('hex');
    contents.set(chunk, page);
    pages.push(pageOf(first, { chunk, length: page.length }));
  });
  for (const one of all) pager.add(one);
  pager.end();
  const read: string[] = [];
  const chunks = {
    read: async (chunk: string) => {
      read.push(chunk);
      return contents.get(chunk);
    },
  } as unknown as ChunkReader;
  return { pages, contents, read, tree: { pages }, chunks };
}

async function rowsOf(tree: ReturnType<typeof treeOf>, range = {}): Promise<Row[]> {
  const found: Row[] = [];
  for await (const one of readTree(tree.chunks, tree.tree, range)) found.push(one);
  return found;
}

describe('a tree', () => {
  test('gives back its rows, whatever their names and fields', async () => {
    await fc.assert(
      fc.asyncProperty(rows, async (all) => {
        expect(await rowsOf(treeOf(all))).toEqual(all);
      }),
    );
  });

  test('keeps the fields of a newer version', () => {
    const unknown = Buffer.from([0xf2, 0x01, 0x01, 0x78]);
    const known: Row = { path: 'a', type: 'directory', size: 0, mtime: 1n, mode: 0o755, uid: 0, gid: 0, unknown };
    expect([...decodeRows(encodeRow(known, ''))]).toEqual([known]);
  });

  test('of a file with thousands of chunks joins its runs again', async () => {
    const file: Row = { path: 'm', type: 'file', mtime: 0n, mode: 0, uid: 0, gid: 0, ...chunked(2_500) };
    const after: Row = { path: 'n', type: 'directory', size: 0, mtime: 0n, mode: 0, uid: 0, gid: 0 };
    expect(await rowsOf(treeOf([file, after]))).toEqual([file, after]);
  });

  const many = Array.from(
    { length: 20_000 },
    (_, place): Row => ({
      path: `dir${String(Math.floor(place / 100)).padStart(4, '0')}/file${String(place).padStart(6, '0')}`,
      type: 'file',
      mtime: 1_700_000_000_000_000_000n + BigInt(place),
      mode: 0o644,
      uid: 0,
      gid: 0,
      ...chunked(1 + (place % 2)),
    }),
  );

  test('that changed in one row shares all pages but one', () => {
    const before = treeOf(many);
    const after = treeOf(many.map((one, place) => (place === 7_777 ? { ...one, mtime: 1n } : one)));
    expect(before.pages.length).toBeGreaterThan(10);
    expect(after.pages.filter(({ chunk }) => !before.contents.has(chunk)).length).toBe(1);
  });

  test('into which a row was put shares all pages but two', () => {
    const before = treeOf(many);
    const put = { ...(many[7_777] as Row), path: `${many[7_777]?.path}-new` };
    const after = treeOf([...many.slice(0, 7_778), put, ...many.slice(7_778)]);
    expect(after.pages.filter(({ chunk }) => !before.contents.has(chunk)).length).toBeLessThanOrEqual(2);
  });

  test('is read only where a part of it is wanted', async () => {
    const tree = treeOf(many);
    expect((await rowsOf(tree, { from: 'dir0100', to: 'dir0100' })).map((one) => one.path)).toEqual(
      many.slice(10_000, 10_100).map((one) => one.path),
    );
    expect(tree.read.length).toBeLessThanOrEqual(4);
  });

  test('of many pages has their list in a chunk', () => {
    const page = pageOf('a', { chunk: '0'.repeat(64), length: 1 });
    expect(pageListContent(Array.from({ length: 64 }, () => page))).toBeUndefined();
    expect(JSON.parse(String(pageListContent(Array.from({ length: 65 }, () => page)))).pages.length).toBe(65);
  });
});

test('paths are ordered component by component, as their bytes', () => {
  const sorted = ['', 'a', 'a/b', 'a/b/c', 'a/c', 'a-b', 'a.b', 'ab', 'b'];
  expect([...sorted].reverse().sort(comparePaths)).toEqual(sorted);
  const byComponents = (a: string, b: string): number => {
    const [left, right] = [a.split('/'), b.split('/')];
    for (let place = 0; place < Math.min(left.length, right.length); place++) {
      const order = Buffer.compare(Buffer.from(left[place]!, 'latin1'), Buffer.from(right[place]!, 'latin1'));
      if (order !== 0) return order;
    }
    return left.length - right.length;
  };
  fc.assert(
    fc.property(path, path, (a, b) => {
      expect(Math.sign(comparePaths(a, b))).toBe(Math.sign(byComponents(a, b)));
    }),
  );
});

describe('a page that a stranger wrote', () => {
  const dir = (at: string): Row => ({ path: at, type: 'directory', size: 0, mtime: 0n, mode: 0, uid: 0, gid: 0 });
  test.each(['../x', '/etc', 'a/../../b', 'a//b', 'a/', '.', 'a/./b', 'a\0b'])('cannot name %j', (bad) => {
    expect(() => [...decodeRows(encodeRow(dir(bad), ''))]).toThrow(expect.objectContaining({ code: 'UnsafePath' }));
  });

  test('is refused when its rows are out of order, cut short, or not what they say', async () => {
    const two = Buffer.concat([encodeRow(dir('b'), ''), encodeRow(dir('a'), 'b')]);
    const damaged = expect.objectContaining({ code: 'ObjectDamaged' });
    expect(() => [...decodeRows(two)]).toThrow(damaged);
    expect(() => [...decodeRows(encodeRow(dir('abc'), '').subarray(0, -1))]).toThrow(damaged);
    const file: Row = { ...dir('f'), type: 'file', ...chunked(2), size: 1_999 };
    await expect(rowsOf(treeOf([file]))).rejects.toEqual(damaged);
  });

  test('does nothing worse than to be refused, whatever its bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          for (const one of decodeRows(Buffer.from(bytes))) expect(one.path.split('/')).not.toContain('..');
        } catch (error) {
          expect(['ObjectDamaged', 'UnsafePath']).toContain((error as { code?: string }).code);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
