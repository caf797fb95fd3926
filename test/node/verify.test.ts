import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { keys } from '../../src/domain/documents.ts';
import type { NodeSettings } from '../../src/node/settings.ts';
import { readManifest } from '../../src/storage/backups.ts';
import { ChunkReader } from '../../src/storage/chunkReader.ts';
import { createRepository } from '../../src/storage/create.ts';
import { openIndexes } from '../../src/storage/openIndexes.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import { CHUNK_BYTES, pagesOf, readTree } from '../../src/storage/tree.ts';
import { ScriptedStore } from '../storage/scripted.ts';
import { backUp, cleanUpAll, givenNode, remove, restoreTo } from '../support/backUp.ts';
import { givenContext } from '../support/jobs.ts';
import { smallParameters } from '../support/storeTree.ts';
import type { Tree } from '../support/trees.ts';
import { compareTrees, contentOf, makeTree } from '../support/trees.ts';
import type { Verified, VerifyOptions } from '../support/verify.ts';
import { note, verify } from '../support/verify.ts';

/** Verify, and the healing of what it finds, end to end in one process. */

let base: string;
let store: ScriptedStore;
let repository: Repository;
let jobs: ReturnType<typeof givenContext>;
let nodes: NodeSettings[];

beforeAll(() => {
  jobs = givenContext();
});
afterAll(() => jobs.close());
beforeEach(async () => {
  base = mkdtempSync(join(tmpdir(), 'homarus-verify-'));
  store = new ScriptedStore();
  ({ repository } = await createRepository(store, { cluster: 'east', ...smallParameters }));
  nodes = ['n1', 'n2'].map((id) => givenNode(base, id));
});
afterEach(() => {
  expect(readdirSync(join(base, 'verify'))).toEqual([]);
  rmSync(base, { recursive: true, force: true });
});

const file = (size: number, seed: number) => ({ type: 'file' as const, size, seed, mode: 0o644 });
const rootOf = (node: number): string => nodes[node]!.roots[0]!.path;
const give = (node: number, tree: Tree): void => makeTree(rootOf(node), tree);
const backup = async (): Promise<string> => (await backUp(repository, jobs.context, { nodes })).receipt.backup;
const check = (options: Partial<VerifyOptions> = {}): Promise<Verified> =>
  verify(repository, jobs.context, { directory: join(base, 'verify'), ...options });
const losses = ({ report }: Verified) =>
  report
    .flatMap((line) => (line.type === 'loss' ? [`${line.backups.join('+')} ${line.node} ${line.path}`] : []))
    .sort();
const states = ({ report }: Verified) =>
  report.flatMap((line) => (line.type === 'backup' ? [`${line.backup} ${line.state}`] : []));

/** A pack that holds a part of a file of the newest backup, and no page of a tree. */
async function packOf(node: string, path: string): Promise<string> {
  const { root } = await presentRoot(repository);
  const reader = new ChunkReader(repository, await openIndexes(repository, root));
  const manifest = await readManifest(repository, root.backups.at(-1)!);
  const pages = new Set<string | undefined>();
  for (const { tree } of manifest.nodes.flatMap(({ roots }) => roots)) {
    for (const { chunk } of await pagesOf(reader, tree)) pages.add((await reader.locate(chunk))?.pack.id);
  }
  const { tree } = manifest.nodes.find(({ id }) => id === node)!.roots[0]!;
  for await (const row of readTree(reader, tree)) {
    for (let at = 0; row.path === path && at < row.chunks!.length; at += CHUNK_BYTES) {
      const { pack } = (await reader.locate(Buffer.from(row.chunks!.subarray(at, at + 32))))!;
      if (!pages.has(pack.id)) return keys.pack(pack.id);
    }
  }
  throw new Error(`no pack with ${path} alone`);
}

function flip(key: string, place: number): void {
  const body = Buffer.from(store.objects.get(key)!.body);
  body[place]! ^= 1;
  store.put(key, body);
}

test('finds nothing in a repository that is whole, however the packs are shared', async () => {
  give(0, { a: file(700_000, 1), b: file(9_000, 2), empty: file(0, 0) });
  give(1, { c: file(300_000, 3) });
  await backup();
  writeFileSync(join(rootOf(0), 'late'), contentOf(5_000, 9));
  await backup();
  const [all] = [await check()];
  expect(all.result).toMatchObject({ backups: 2, damagedBackups: 0, damaged: 0, report: null, readPacks: 0 });
  expect(all.result.packs).toBe(store.keys('packs/').length);
  const { result } = await check({ shares: 3, readData: { percent: 100 } });
  expect(result).toMatchObject({ ...all.result, readPacks: all.result.packs, readBytes: all.result.bytes });
  expect(store.keys('reports/')).toEqual([]);
});

describe('a lost pack', () => {
  beforeEach(async () => {
    give(0, { a: file(2_000_000, 1), sub: { type: 'directory', mode: 0o755, entries: { b: file(9_000, 2) } } });
    give(1, { c: file(300_000, 3) });
  });

  test('is named with what it costs; the next backup stores it again, and a cleanup forgets it', async () => {
    const first = await backup();
    const second = await backup();
    const lost = await packOf('n1', 'a');
    store.objects.delete(lost);
    const found = await check();
    expect(found.damaged).toEqual([lost]);
    expect(losses(found)).toContain(`${first}+${second} n1 a`);
    expect(losses(found).join()).not.toContain('n2');
    expect(states(found)).toEqual([`${first} damaged`, `${second} damaged`]);

    expect(await note(repository, found)).toBe((await presentRoot(repository)).root.number);
    const id = lost.slice('packs/'.length);
    expect((await presentRoot(repository)).root.damaged).toEqual([{ kind: 'pack', id }]);
    expect(await note(repository, found)).toBeNull();

    const third = await backup();
    expect((await check()).result).toMatchObject({ damaged: 1, damagedBackups: 0, report: null });
    const other = givenNode(join(base, 'other'), 'n1');
    for (const name of [first, third]) {
      await restoreTo(repository, jobs.context, name, other);
      expect(compareTrees(rootOf(0), other.roots[0]!.path)).toEqual([]);
    }
    await cleanUpAll(repository, join(base, 'verify'));
    const { root } = await presentRoot(repository);
    expect(root.damaged).toEqual([]);
    expect(root.backups.length).toBe(3);
    expect((await check({ readData: { percent: 100 } })).damaged).toEqual([]);
  });

  test('stays named as long as a backup needs what no node has any more', async () => {
    const first = await backup();
    const lost = await packOf('n1', 'a');
    store.objects.delete(lost);
    await note(repository, await check());
    rmSync(join(rootOf(0), 'a'));
    const second = await backup();
    const after = await check();
    expect(losses(after)).toEqual([`${first} n1 a`]);
    expect(states(after)).toEqual([`${first} damaged`, `${second} whole`]);
    await cleanUpAll(repository, join(base, 'verify'));
    expect((await presentRoot(repository)).root.damaged.length).toBe(1);
    await remove(repository, first, join(base, 'verify'));
    expect((await presentRoot(repository)).root.damaged).toEqual([]);
    expect((await check()).damaged).toEqual([]);
  });
});

test('a lost index keeps cleanups from removing anything, its packs are adopted by the next backup, and then it is forgotten', async () => {
  give(0, { a: file(300_000, 1) });
  give(1, { c: file(300_000, 3) });
  const first = await backup();
  const { root } = await presentRoot(repository);
  const lost = keys.index(root.indexes[0]!.id);
  const packs = store.keys('packs/');
  store.objects.delete(lost);
  const found = await check();
  expect(found.damaged).toEqual([lost]);
  expect(states(found)).toEqual([`${first} damaged`]);
  await note(repository, found);
  await expect(cleanUpAll(repository, join(base, 'verify'))).rejects.toMatchObject({
    code: 'ObjectDamaged',
    message: expect.stringContaining(lost),
  });
  expect(store.keys('packs/').length).toBe(packs.length);
  await backup();
  expect(store.keys('packs/').length).toBeLessThan(packs.length + 2);
  await cleanUpAll(repository, join(base, 'verify'));
  expect((await presentRoot(repository)).root.damaged).toEqual([]);
  expect((await check({ readData: { percent: 100 } })).damaged).toEqual([]);
});

test('a flipped bit in the content of a file is found when packs are read, and costs that file alone', async () => {
  give(0, { a: file(800_000, 1), b: file(800_000, 2) });
  give(1, { c: file(300_000, 3) });
  const name = await backup();
  const pack = await packOf('n1', 'a');
  flip(pack, 1_000);
  expect((await check()).damaged).toEqual([]);
  const found = await check({ readData: { percent: 100 } });
  expect(found.damaged).toEqual([pack]);
  expect(found.report[0]).toMatchObject({ code: 'ObjectDamaged', reason: expect.stringContaining(pack) });
  const [lost, ...more] = losses(found);
  expect(more).toEqual([]);
  expect([`${name} n1 a`, `${name} n1 b`]).toContain(lost);
});

test('reads as much as it is told to, and other packs each time', async () => {
  give(0, { a: file(4_000_000, 1) });
  await backup();
  const drawn = new Set<string>();
  for (let time = 0; time < 4; time++) {
    store.calls.length = 0;
    const { result } = await check({ readData: { bytes: 400_000 } });
    expect(result.readBytes).toBeGreaterThanOrEqual(400_000);
    expect(result.readBytes).toBeLessThan(900_000);
    const calls = store.calls.filter(({ verb, key }) => verb === 'read' && key.startsWith('packs/'));
    drawn.add(calls.map(({ key }) => key).join());
  }
  expect(drawn.size).toBeGreaterThan(1);
  expect((await check({ readData: { percent: 0 } })).result.readPacks).toBe(0);
});

test.each(['packs/', 'marks/'])(
  'believes nothing that a cleanup removed meanwhile, before it listed %s',
  async (prefix) => {
    give(0, { a: file(300_000, 1) });
    const first = await backup();
    rmSync(join(rootOf(0), 'a'));
    await backup();
    let once = true;
    store.step = async ({ verb, key }) => {
      if (!once || verb !== 'list' || key !== prefix) return;
      once = false;
      await remove(repository, first, base);
    };
    const { damaged, result } = await check();
    expect(once).toBe(false);
    expect(damaged).toEqual([]);
    expect(result).toMatchObject({ backups: 1, report: null });
  },
);

test('what it calls lost is what cannot be read, whatever packs are gone or cut', async () => {
  give(0, { a: file(400_000, 1), b: file(40_000, 2), c: file(3_000, 3), d: file(300_000, 4), e: file(70_000, 5) });
  give(1, { a: file(400_000, 1), f: file(40_000, 6), g: file(500_000, 7) });
  const name = await backup();
  const whole = new Map(store.objects);
  const rows = await filesOf(name);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(), { minLength: 1, maxLength: 3 }), fc.boolean(), async (numbers, cut) => {
      const packs = store.keys('packs/');
      for (const number of numbers) {
        const key = packs[number % packs.length]!;
        if (cut) store.put(key, Buffer.from(whole.get(key)!.body.subarray(0, 20_000)));
        else store.objects.delete(key);
      }
      const found = await check({ shares: 2 });
      const { root } = await presentRoot(repository);
      const reader = new ChunkReader(repository, await openIndexes(repository, root));
      const unreadable: string[] = [];
      for (const { label, chunks } of rows) {
        if (await isLost(reader, chunks)) unreadable.push(label);
      }
      const pages = found.report.flatMap((line) =>
        line.type === 'loss' && line.until !== undefined ? [line.node] : [],
      );
      // Where a page is lost its files are not known by name.
      const named = unreadable.filter((label) => !pages.includes(label.split(' ')[1]!));
      expect(losses(found).filter((label) => !pages.includes(label.split(' ')[1]!))).toEqual(named.sort());
      expect(found.damaged.length).toBe(new Set(numbers.map((number) => number % packs.length)).size);
      store.objects.clear();
      for (const [key, object] of whole) store.objects.set(key, object);
    }),
    { numRuns: 15 },
  );
}, 60_000);

async function filesOf(name: string): Promise<{ label: string; chunks: Buffer }[]> {
  const { root } = await presentRoot(repository);
  const reader = new ChunkReader(repository, await openIndexes(repository, root));
  const files: { label: string; chunks: Buffer }[] = [];
  for (const { id, roots } of (await readManifest(repository, root.backups[0]!)).nodes) {
    for await (const { path, chunks } of readTree(reader, roots[0]!.tree)) {
      if (chunks) files.push({ label: `${name} ${id} ${path}`, chunks: Buffer.from(chunks) });
    }
  }
  return files;
}

async function isLost(reader: ChunkReader, chunks: Buffer): Promise<boolean> {
  for (let at = 0; at < chunks.length; at += CHUNK_BYTES) {
    const read = reader.read(Buffer.from(chunks.subarray(at, at + 32)), chunks.readUInt32LE(at + 32));
    if (
      await read.then(
        () => false,
        () => true,
      )
    )
      return true;
  }
  return false;
}
