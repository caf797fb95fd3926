import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { drillDirectory } from '../../src/domain/drill.ts';
import { drill, dropScratch } from '../../src/node/drill.ts';
import type { NodeSettings } from '../../src/node/settings.ts';
import { createRepository } from '../../src/storage/create.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { ScriptedStore } from '../storage/scripted.ts';
import { backUp, givenNode } from '../support/backUp.ts';
import { givenContext } from '../support/jobs.ts';
import { smallParameters } from '../support/storeTree.ts';
import { compareTrees, listing, makeTree } from '../support/trees.ts';

let base: string;
let jobs: ReturnType<typeof givenContext>;
let store: ScriptedStore;
let repository: Repository;
let nodes: [NodeSettings, NodeSettings];
let backup: string;

const file = (seed: number) => ({ type: 'file' as const, size: 3_000, seed, mode: 0o644 });

beforeAll(() => {
  jobs = givenContext();
});
afterAll(async () => {
  await jobs.close();
  rmSync(base, { recursive: true, force: true });
});
beforeEach(async () => {
  if (base) rmSync(base, { recursive: true, force: true });
  base = mkdtempSync(join(tmpdir(), 'homarus-drill-'));
  store = new ScriptedStore();
  ({ repository } = await createRepository(store, { cluster: 'east', ...smallParameters }));
  nodes = [givenNode(base, 'n1'), givenNode(base, 'n2')];
  for (const [place, node] of nodes.entries()) {
    const files = Array.from({ length: 40 }, (_, number) => [`f${number}`, file(100 * place + number)]);
    makeTree(node.roots[0]!.path, { sub: { type: 'directory', mode: 0o755, entries: Object.fromEntries(files) } });
  }
  backup = (await backUp(repository, jobs.context, { nodes })).receipt.backup;
});

const operation = 'drill-1';
const scratch = (): string => drillDirectory(join(base, 'scratch'), operation, 'n1');
const drilled = (froms: string[], percent = 100, seed = 1) =>
  drill(
    repository,
    { operation, node: nodes[0], backup, froms, directory: join(base, 'scratch'), sample: { percent, seed } },
    jobs.context,
  );

test('what is restored aside is what the backup has, stays until it is dropped, and the data is left alone', async () => {
  const { path } = nodes[0].roots[0]!;
  const before = listing(path);
  const receipt = await drilled(['n1']);
  expect(receipt).toMatchObject({ node: 'n1', trees: [{ from: 'n1', files: 40, bytes: 120_000 }] });
  expect(receipt.trees[0]!.fetchedBytes).toBeGreaterThan(50_000);
  expect(compareTrees(path, scratch())).toEqual([]);
  expect(listing(path)).toEqual(before);
  await dropScratch(nodes[0].stateDir);
  expect(readdirSync(join(base, 'scratch'))).toEqual([]);
  await dropScratch(nodes[0].stateDir);
});

test('one node may take the files of all, each in a directory of its own', async () => {
  const { trees } = await drilled(['n1', 'n2']);
  expect(trees).toMatchObject([
    { from: 'n1', files: 40 },
    { from: 'n2', files: 40 },
  ]);
  for (const { id, roots } of nodes) expect(compareTrees(roots[0]!.path, join(scratch(), id))).toEqual([]);
});

test('a sample restores a part of the files, another one with another seed', async () => {
  const namesOf = async (seed: number): Promise<string[]> => {
    const { trees } = await drilled(['n1'], 30, seed);
    const names = readdirSync(join(scratch(), 'sub')).sort();
    expect(trees[0]!.files).toBe(names.length);
    return names;
  };
  const [one, other] = [await namesOf(1), await namesOf(2)];
  for (const names of [one, other]) {
    expect(names.length).toBeGreaterThan(3);
    expect(names.length).toBeLessThan(25);
  }
  expect(one).not.toEqual(other);
  expect(await namesOf(1)).toEqual(one);
});

test('what the disk does not give back as it was written fails it, naming node, backup and directory', async () => {
  let looks = 0;
  // The second look at the present root is that of the comparison.
  store.step = async ({ verb, key }) => {
    if (verb !== 'list' || !key.startsWith('roots/') || !existsSync(join(scratch(), 'sub', 'f7'))) return;
    if (looks++ === 0) writeFileSync(join(scratch(), 'sub', 'f7'), Buffer.alloc(3_000, 7));
  };
  await expect(drilled(['n1'])).rejects.toMatchObject({
    code: 'DrillFailed',
    message: `node n1: 1 files in ${scratch()} are not what backup ${backup} has of node n1`,
  });
  expect(looks).toBeGreaterThan(0);
});

test('a try after one that was killed begins anew', async () => {
  await drilled(['n1']);
  writeFileSync(join(scratch(), 'left'), 'of the former try');
  const { trees } = await drilled(['n1']);
  expect(trees[0]!.fetchedBytes).toBeGreaterThan(50_000);
  expect(existsSync(join(scratch(), 'left'))).toBe(false);
});
