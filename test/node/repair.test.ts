import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { keys } from '../../src/domain/documents.ts';
import type { NodeSettings } from '../../src/node/settings.ts';
import { createRepository } from '../../src/storage/create.ts';
import { acquireLock, refreshLock } from '../../src/storage/lock.ts';
import type { RepairOptions } from '../../src/storage/repair.ts';
import { repair } from '../../src/storage/repair.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { openRepository } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import { holderOf } from '../storage/given.ts';
import { ScriptedStore } from '../storage/scripted.ts';
import { backUp, cleanUpAll, givenNode, remove, restoreTo } from '../support/backUp.ts';
import { givenContext } from '../support/jobs.ts';
import { smallParameters } from '../support/storeTree.ts';
import { compareTrees, contentOf, makeTree } from '../support/trees.ts';
import { verify } from '../support/verify.ts';

/** Repair makes a root of what is left, and takes nothing away. */

const LEAP = 1_000_000;
let base: string;
let store: ScriptedStore;
let repository: Repository;
let jobs: ReturnType<typeof givenContext>;
let node: NodeSettings;
let first: string;
let second: string;

beforeAll(() => {
  jobs = givenContext();
});
afterAll(() => jobs.close());
beforeEach(async () => {
  base = mkdtempSync(join(tmpdir(), 'homarus-repair-'));
  store = new ScriptedStore();
  ({ repository } = await createRepository(store, { cluster: 'east', ...smallParameters }));
  node = givenNode(base);
  makeTree(node.roots[0]!.path, { a: { type: 'file', size: 300_000, seed: 1, mode: 0o644 } });
  first = await backup();
  writeFileSync(join(node.roots[0]!.path, 'late'), contentOf(900_000, 9));
  second = await backup();
  store.clock += 1_000_000;
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const backup = async (): Promise<string> => (await backUp(repository, jobs.context, { nodes: [node] })).receipt.backup;
const repaired = (options: Partial<RepairOptions> = {}) =>
  repair(repository, { directory: base, ttl: 120_000, dryRun: false, ...options });
const check = () => verify(repository, jobs.context, { directory: join(base, 'verify'), readData: { percent: 100 } });
const restored = async (name: string): Promise<string[]> => {
  const other = givenNode(mkdtempSync(join(base, 'other-')), 'n1');
  await restoreTo(repository, jobs.context, name, other);
  return compareTrees(node.roots[0]!.path, other.roots[0]!.path);
};

/** The packs, and the index, that only the second backup brought. */
const newest = (prefix: string): string[] => {
  const epochs = store.keys(prefix).map((key) => /\d{16}/.exec(key)![0]);
  return store.keys(prefix).filter((key) => key.includes(epochs.toSorted().at(-1)!));
};

test('lists all backups again after all roots and indexes were lost, far above all that was there', async () => {
  const before = (await presentRoot(repository)).root;
  for (const key of [...store.keys('roots/'), ...store.keys('indexes/')]) store.objects.delete(key);
  const kept = [...store.objects.keys()];
  const result = await repaired();
  expect(result).toMatchObject({ listed: [first, second], aside: [], lost: [] });
  const { root } = await presentRoot(repository);
  expect(root).toMatchObject({ epoch: before.epoch + LEAP, floor: before.epoch + LEAP - 1, holder: null, damaged: [] });
  expect(root.number).toBe(LEAP);
  expect([...store.objects.keys()]).toEqual(expect.arrayContaining(kept));
  expect(await restored(second)).toEqual([]);
  expect((await check()).damaged).toEqual([]);
  await backup();
  await remove(repository, first, base);
  expect(await restored(second)).toEqual([]);
  expect((await check()).damaged).toEqual([]);
});

test('a million above the highest number and epoch that any object names', async () => {
  const { root } = await presentRoot(repository);
  const epoch = root.epoch + 500;
  store.put(keys.lease(epoch), Buffer.from('{}'));
  store.put(keys.root(root.number + 7), Buffer.from('cut short'));
  store.clock += 1_000_000;
  await repaired();
  const after = (await presentRoot(repository)).root;
  expect(after).toMatchObject({ number: root.number + 7 + LEAP, epoch: epoch + LEAP, floor: epoch + LEAP - 1 });
  // What only the former root knew of its backups is not lost with it.
  expect(after.backups.map(({ stored }) => stored)).toEqual(root.backups.map(({ stored }) => stored));
});

test('sets aside by name what is not whole: it is restored as far as it goes, and stays until it is deleted', async () => {
  const lost = newest('packs/');
  store.objects.delete(lost[0]!);
  const { aside, listed, lost: said } = await repaired();
  expect(listed).toEqual([first]);
  expect(aside).toMatchObject([{ name: second }]);
  expect(said).toMatchObject([{ key: lost[0] }]);
  await expect(restored(second)).rejects.toMatchObject({ code: 'ObjectMissing' });
  // Begun in the very second of the one that was set aside: it gets another name.
  const started = `${second.slice(0, 10)}T${second.slice(11).replaceAll('-', ':')}`;
  const { receipt } = await backUp(repository, jobs.context, { nodes: [node], started });
  expect(receipt.backup).not.toBe(second);
  await cleanUpAll(repository, base);
  expect(store.keys('manifests/').length).toBe(3);
  for (const key of lost.slice(1)) expect(store.objects.has(key)).toBe(true);
  await remove(repository, second, base);
  expect((await presentRoot(repository)).root.aside).toEqual([]);
  expect(store.keys('manifests/').length).toBe(2);
  expect((await check()).damaged).toEqual([]);
});

test('takes from a former index what a pack holds whose own footer is damaged', async () => {
  const [pack] = newest('packs/');
  const { body } = store.objects.get(pack!)!;
  store.put(pack!, Buffer.concat([body.subarray(0, body.length - 8), Buffer.alloc(8)]));
  const result = await repaired();
  expect(result).toMatchObject({
    listed: [first, second],
    lost: [{ key: pack, why: expect.stringContaining('footer') }],
  });
  expect((await presentRoot(repository)).root.damaged).toEqual([{ kind: 'pack', id: pack!.slice('packs/'.length) }]);
  expect(await restored(second)).toEqual([]);
});

test('a manifest that is damaged is set aside, and the reason is told', async () => {
  const [key] = newest('manifests/');
  const body = Buffer.from(store.objects.get(key!)!.body);
  body[60]! ^= 1;
  store.put(key!, body);
  expect(await repaired()).toMatchObject({
    listed: [first],
    aside: [{ name: second, why: expect.stringContaining(key!) }],
  });
  await cleanUpAll(repository, base);
  expect(store.objects.has(key!)).toBe(true);
});

test('a dry run tells the same and writes nothing', async () => {
  store.objects.delete(newest('packs/')[0]!);
  const before = new Map(store.objects);
  const told = await repaired({ dryRun: true });
  expect(store.objects).toEqual(before);
  expect(await repaired()).toEqual(told);
});

test('refuses while somebody works, and says that repository.json is needed', async () => {
  const holder = { ...holderOf('other'), ttl: 100 };
  const { epoch } = await acquireLock(repository, holder, { nonce: 'other' });
  store.next('now', '', async (pass) => {
    const now = await pass();
    store.clock += 50;
    await refreshLock(repository, epoch, holder);
    return now;
  });
  await expect(repaired({ ttl: 100 })).rejects.toMatchObject({
    code: 'LockHeld',
    message: expect.stringContaining(keys.lease(epoch)),
  });
  store.objects.delete('repository.json');
  await expect(openRepository(store)).rejects.toMatchObject({
    code: 'ObjectMissing',
    hint: expect.stringContaining('"homarus repair" needs it'),
  });
});
