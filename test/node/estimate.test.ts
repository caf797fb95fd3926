import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, linkSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { EstimateInput } from '../../src/node/estimate.ts';
import { estimate } from '../../src/node/estimate.ts';
import type { NodeSettings } from '../../src/node/settings.ts';
import { createRepository } from '../../src/storage/create.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { ScriptedStore } from '../storage/scripted.ts';
import { asNobody } from '../support/asNobody.ts';
import { backUp, givenNode, remove } from '../support/backUp.ts';
import { givenContext } from '../support/jobs.ts';
import { smallParameters } from '../support/storeTree.ts';
import { damage, damages, listing, makeTree, trees } from '../support/trees.ts';

/** What a backup would read and store, beside what it then does. */

/** More than a row of these trees takes, bytes. */
const ROW_BYTES = 200;

let base: string;
let store: ScriptedStore;
let repository: Repository;
let jobs: ReturnType<typeof givenContext>;
let node: NodeSettings;

beforeAll(() => {
  jobs = givenContext();
});
afterAll(() => jobs.close());
beforeEach(() => given());
afterEach(() => rmSync(base, { recursive: true, force: true }));

async function given(): Promise<void> {
  base = mkdtempSync(join(tmpdir(), 'homarus-estimate-'));
  store = new ScriptedStore();
  ({ repository } = await createRepository(store, { cluster: 'east', ...smallParameters }));
  node = givenNode(base);
}

const root = (): string => node.roots[0]!.path;
const file = (size: number, seed = 1) => ({ type: 'file' as const, size, seed, mode: 0o644 });
const look = (asked: Partial<EstimateInput> = {}) =>
  estimate(
    repository,
    { operation: 'estimate-1', node, select: { include: [], exclude: [] }, onUnreadable: 'fail', ...asked },
    jobs.context,
  );
/** What an estimate must leave as it is. */
const listings = () => [root(), join(node.stateDir, 'retained')].map((directory) => listing(directory));
/** Files so old that their times can be believed. */
const age = (): void =>
  void execFileSync('find', [root(), '-type', 'f', '-exec', 'touch', '-d', '2020-01-01', '{}', '+']);

test('what it foresees is what the backup does, whatever changed since the last one, and it changes nothing', async () => {
  await fc.assert(
    fc.asyncProperty(trees, damages, async (tree, wrong) => {
      await given();
      try {
        makeTree(root(), tree);
        age();
        await backUp(repository, jobs.context, { nodes: [node] });
        damage(root(), wrong, join(base, 'elsewhere'));
        const before = listings();
        const objects = [...store.objects.keys()];
        const seen = await look();
        expect(listings()).toEqual(before);
        expect([...store.objects.keys()]).toEqual(objects);
        const { snapshots, receipt } = await backUp(repository, jobs.context, { nodes: [node] });
        const { totals, unchanged, hashedBytes } = snapshots[0]!;
        expect(seen).toMatchObject({ files: totals.files, bytes: totals.bytes, compared: true, leftOut: [] });
        expect(seen.unchanged.files).toBe(unchanged);
        expect(seen.added.bytes + seen.changed.bytes).toBe(hashedBytes);
        // The rows of the tree come on top.
        expect(receipt.added).toBeLessThanOrEqual(seen.storeAtMost + (totals.entries + 1) * ROW_BYTES);
      } finally {
        rmSync(base, { recursive: true, force: true });
      }
    }),
    { numRuns: 20 },
  );
});

test('new, changed and unchanged files are told apart, and of a file with two names one counts', async () => {
  makeTree(root(), { same: file(10_000), grows: file(20_000, 2), goes: file(30_000, 3) });
  age();
  await backUp(repository, jobs.context, { nodes: [node] });
  appendFileSync(join(root(), 'grows'), 'more');
  rmSync(join(root(), 'goes'));
  writeFileSync(join(root(), 'comes'), Buffer.alloc(5_000));
  linkSync(join(root(), 'comes'), join(root(), 'comes too'));
  expect(await look()).toEqual({
    node: 'n1',
    compared: true,
    files: 3,
    bytes: 35_004,
    added: { files: 1, bytes: 5_000 },
    changed: { files: 1, bytes: 20_004 },
    unchanged: { files: 1, bytes: 10_000 },
    storeAtMost: 25_004,
    leftOut: [],
    wouldFail: false,
  });
});

test('without a former backup all is new; with one of the storage alone, it is compared with that', async () => {
  makeTree(root(), { a: file(10_000), b: file(20_000, 2) });
  age();
  expect(await look()).toMatchObject({ compared: false, added: { files: 2, bytes: 30_000 }, storeAtMost: 30_000 });
  await backUp(repository, jobs.context, { nodes: [node] });
  rmSync(node.stateDir, { recursive: true });
  expect(await look()).toMatchObject({ compared: true, unchanged: { files: 2, bytes: 30_000 }, storeAtMost: 0 });
  expect(existsSync(join(node.stateDir, 'previews', '1-estimate-1'))).toBe(false);
});

test('what is unchanged since a backup that was removed may have to be stored again', async () => {
  makeTree(root(), { a: file(10_000) });
  age();
  const { receipt } = await backUp(repository, jobs.context, { nodes: [node] });
  await remove(repository, receipt.backup, base);
  expect(await look()).toMatchObject({ unchanged: { files: 1 }, added: { files: 0 }, storeAtMost: 10_000 });
});

test('what would be left out is counted by reason, with an example', async () => {
  makeTree(root(), {
    log: { type: 'directory', mode: 0o755, entries: { a: file(1), b: file(2, 2) } },
    'x.tmp': file(3),
    'y.tmp': file(4),
    kept: file(5),
  });
  execFileSync('mkfifo', [join(root(), 'pipe')]);
  const seen = await look({ select: { include: [], exclude: ['log', '*.tmp'] } });
  expect(seen).toMatchObject({ files: 1, bytes: 5, wouldFail: false });
  expect(seen.leftOut).toEqual([
    { root: 'data', why: 'excluded', count: 3, first: 'log' },
    { root: 'data', why: 'special', count: 1, first: 'pipe' },
  ]);
});

test('a file that may not be read would end a backup, unless such files are skipped', async () => {
  makeTree(root(), { open: file(5), shut: { ...file(7, 2), mode: 0 } });
  const seen = await asNobody(base, () => look());
  expect(seen).toMatchObject({ files: 1, wouldFail: true, leftOut: [{ why: 'unreadable', count: 1, first: 'shut' }] });
  const skipping = await asNobody(base, () => look({ onUnreadable: 'skip' }));
  expect(skipping).toMatchObject({ files: 1, wouldFail: false });
});
