import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { keys } from '../../src/domain/documents.ts';
import { ChunkIndex, ENTRY_BYTES } from '../../src/storage/chunkIndex.ts';
import { createRepository } from '../../src/storage/create.ts';
import { blake3 } from '../../src/storage/hash.ts';
import { rotateDataKey } from '../../src/storage/keyChanges.ts';
import { pin } from '../../src/storage/marks.ts';
import { openRepository } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import { SeenRoots } from '../../src/storage/seen.ts';
import { encrypted, removeBackups } from '../storage/given.ts';
import { ScriptedStore } from '../storage/scripted.ts';
import { backUp, givenNode, restoreTo } from '../support/backUp.ts';
import { givenContext } from '../support/jobs.ts';
import { smallParameters } from '../support/storeTree.ts';
import { compareTrees, contentOf, makeTree, trees } from '../support/trees.ts';
import { verify } from '../support/verify.ts';

/** A node's part of a backup and of a restore in an encrypted repository, with the threads that do it. */

let base: string;
let jobs: ReturnType<typeof givenContext>;

beforeAll(() => {
  jobs = givenContext();
});
afterAll(() => jobs.close());
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'homarus-encrypted-'));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const create = async () => {
  const store = new ScriptedStore();
  const { repository } = await createRepository(store, { cluster: 'east', ...smallParameters, ...encrypted });
  return { store, repository };
};
const file = (size: number, seed = 1) => ({ type: 'file' as const, size, seed, mode: 0o644 });

test('whatever is backed up before and after a rotation of the data key is restored', async () => {
  await fc.assert(
    fc.asyncProperty(trees, trees, async (first, second) => {
      const directory = mkdtempSync(join(base, 'run-'));
      const { repository } = await create();
      const nodes = ['n1', 'n2'].map((id) => givenNode(directory, id));
      const backups: string[] = [];
      for (const [place, tree] of [first, second].entries()) {
        const node = nodes[place]!;
        makeTree(node.roots[0]!.path, tree);
        const { receipt } = await backUp(repository, jobs.context, { nodes: [node] });
        backups.push(receipt.backup);
        await rotateDataKey(repository, { by: 'tester' });
      }
      for (const [place, backup] of backups.entries()) {
        const target = givenNode(directory, `target${place}`);
        await restoreTo(repository, jobs.context, backup, target, nodes[place]!.id);
        expect(compareTrees(nodes[place]!.roots[0]!.path, target.roots[0]!.path)).toEqual([]);
      }
    }),
    { numRuns: 5 },
  );
});

test('a former data key that is lost is damage as long as something is sealed with it, and none after a re-encryption', async () => {
  const { store } = await create();
  const open = () => openRepository(store, { cluster: 'east', encryption: encrypted.encryption });
  const node = givenNode(base);
  makeTree(node.roots[0]!.path, { a: file(5_000), b: file(80_000, 2) });
  await backUp(await open(), jobs.context, { nodes: [node] });
  await rotateDataKey(await open(), { by: 'tester', reencrypt: true });
  const found = async () => {
    const key = keys.dataKey(1);
    const { body } = store.objects.get(key)!;
    store.objects.delete(key);
    const { damaged } = await verify(await open(), jobs.context, { directory: base, readData: { percent: 100 } });
    store.put(key, body);
    return damaged;
  };
  expect(await found()).toContain(keys.dataKey(1));
  await removeBackups(await open(), [], { name: 'cleanup', directory: base });
  expect(await found()).toEqual([]);
});

test('the storage tells nobody what is in it: neither names nor content, neither in objects nor in their keys', async () => {
  const { store, repository } = await create();
  const seen: { key: string; body: Buffer }[] = [];
  const put = store.put.bind(store);
  store.put = (key, body) => {
    seen.push({ key, body });
    put(key, body);
  };
  const node = givenNode(base, 'unspeakable-node');
  const secret = 'a file that nobody may know of';
  makeTree(node.roots[0]!.path, { 'secret-name': file(secret.length), large: file(200_000, 5), inline: file(60, 6) });
  const { receipt } = await backUp(repository, jobs.context, {
    nodes: [node],
    snapshot: { host: 'unspeakable-host' },
  });
  await pin(repository, receipt.backup, { by: 'unspeakable-operator', note: 'unspeakable-note' });
  expect(seen.some(({ key }) => key.startsWith('staging/'))).toBe(true);
  expect(seen.some(({ key }) => key.startsWith('leases/'))).toBe(true);
  const secrets = [
    ...['unspeakable', 'secret-name', 'backup-', '"nodes"', '"holder"', 'nightly'].map((text) => Buffer.from(text)),
    ...[contentOf(secret.length, 1), contentOf(200_000, 5).subarray(4_000, 4_016), contentOf(60, 6).subarray(8, 24)],
  ];
  for (const { key, body } of seen) {
    for (const one of secrets) {
      expect({ key, found: body.includes(one) || key.includes(one.toString('latin1')) }).toEqual({ key, found: false });
    }
    expect(key).toMatch(/^(keys|roots|leases|manifests|marks|packs|indexes|staging)\/[0-9a-zTZ~/-]+$/);
  }
});

test('one content has another name in every repository that has a key', async () => {
  const plain = blake3.hash([contentOf(5_000, 1)]).toString('hex');
  const named: string[] = [plain];
  for (const place of [1, 2]) {
    const { repository } = await create();
    const node = givenNode(join(base, `${place}`));
    makeTree(node.roots[0]!.path, { same: file(5_000) });
    await backUp(repository, jobs.context, { nodes: [node] });
    const [ref] = (await presentRoot(repository)).root.indexes;
    for await (const page of (await ChunkIndex.open(repository, ref!)).pages()) {
      for (let at = 0; at < page.length; at += ENTRY_BYTES) named.push(page.toString('hex', at, at + 32));
    }
  }
  expect(named.length).toBeGreaterThan(4);
  expect(new Set(named).size).toBe(named.length);
});

test('a node that saw a higher root refuses to upload to, and to restore from, what was put back', async () => {
  const { store, repository } = await create();
  const node = givenNode(base);
  makeTree(node.roots[0]!.path, { a: file(5_000) });
  const { receipt } = await backUp(repository, jobs.context, { nodes: [node] });
  const older = new Map(store.objects);
  const rolledBack = () => {
    for (const key of store.keys('roots/')) if (!older.has(key)) store.objects.delete(key);
  };
  const higher = async () => {
    const { receipt: next } = await backUp(repository, jobs.context, { nodes: [node] });
    await restoreTo(repository, jobs.context, next.backup, node);
    rolledBack();
  };
  await higher();
  await expect(restoreTo(repository, jobs.context, receipt.backup, node)).rejects.toMatchObject({ code: 'RolledBack' });
  const accepted = await presentRoot(repository);
  await new SeenRoots(node.stateDir).accept(repository, accepted);
  await restoreTo(repository, jobs.context, receipt.backup, node);
  const other = givenNode(base, 'n2');
  const ahead = { ...accepted, root: { ...accepted.root, number: 1_000 } };
  const backup = backUp(repository, jobs.context, {
    nodes: [other],
    beforeUpload: () => new SeenRoots(other.stateDir).check(repository, ahead),
  });
  await expect(backup).rejects.toMatchObject({ code: 'RolledBack' });
});
