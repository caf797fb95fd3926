import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { keys } from '../../src/domain/documents.ts';
import { restoreNode } from '../../src/node/restoreNode.ts';
import type { NodeSettings } from '../../src/node/settings.ts';
import { readManifest } from '../../src/storage/backups.ts';
import { ChunkReader } from '../../src/storage/chunkReader.ts';
import { createRepository } from '../../src/storage/create.ts';
import { addSlot, rotateDataKey } from '../../src/storage/keyChanges.ts';
import { pin } from '../../src/storage/marks.ts';
import { openIndexes } from '../../src/storage/openIndexes.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { openRepository } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import { SeenRoots } from '../../src/storage/seen.ts';
import { stageJson } from '../../src/storage/staging.ts';
import { readTree } from '../../src/storage/tree.ts';
import { encrypted } from '../storage/given.ts';
import { ScriptedStore } from '../storage/scripted.ts';
import { backUp, givenNode } from '../support/backUp.ts';
import { givenContext } from '../support/jobs.ts';
import { smallParameters } from '../support/storeTree.ts';
import { compareTrees, contentOf, makeTree } from '../support/trees.ts';
import { verify } from '../support/verify.ts';

/**
 * Every kind of object, damaged in every way: verify names it, what it does not touch is restored, what it touches is not,
 * by name, and what stood there stays.
 */

const kinds = ['repository', 'root', 'manifest', 'index', 'pack', 'mark', 'lease', 'staged'] as const;
/** Of an encrypted repository. */
const keyKinds = ['slot', 'dataKey'] as const;
type Kind = (typeof kinds)[number] | (typeof keyKinds)[number];
const damages = ['missing', 'truncated', 'one bit flipped', 'swapped', "another repository's", 'empty'] as const;
type Damage = (typeof damages)[number];

/** What leaves no trace: who may may have removed a mark, lease or staged list, and a plain lease is bound to nothing. */
const unseen = (kind: Kind, damage: Damage, sealed: Sealed): boolean =>
  (damage === 'missing' && ['mark', 'lease', 'staged'].includes(kind)) ||
  (damage === "another repository's" && kind === 'lease' && !sealed.encryption);

type Sealed = Partial<typeof encrypted>;

interface Given {
  objects: ScriptedStore['objects'];
  /** Of each kind the one that is damaged, and another one of the kind where there is one. */
  object: Record<Kind, { key: string; other: string }>;
  first: string;
  second: string;
}

let base: string;
let jobs: ReturnType<typeof givenContext>;
let nodes: NodeSettings[];
let here: Given;
let elsewhere: Given;
let store: ScriptedStore;
let sealed: Sealed;

const file = (size: number, seed: number) => ({ type: 'file' as const, size, seed, mode: 0o644 });
const sourceOf = (node: number): string => nodes[node]!.roots[0]!.path;

/** Two nodes, two backups: the second has a file `late` on n2 in packs and an index of its own. */
async function given(directory: string, how: Sealed): Promise<Given> {
  const made = new ScriptedStore();
  const { repository } = await createRepository(made, { cluster: 'east', ...smallParameters, ...how });
  const own = ['n1', 'n2'].map((id) => givenNode(directory, id));
  makeTree(own[0]!.roots[0]!.path, { a: file(300_000, 1), b: file(9_000, 2) });
  makeTree(own[1]!.roots[0]!.path, { c: file(300_000, 3), d: file(5_000, 4) });
  const back = async (): Promise<string> => (await backUp(repository, jobs.context, { nodes: own })).receipt.backup;
  const first = await back();
  const { indexes } = (await presentRoot(repository)).root;
  const slots: string[] = [];
  if (how.encryption) {
    const spare = { kind: 'keyFile', bytes: Buffer.alloc(32, 1) } as const;
    for (const label of ['one', 'two']) slots.push(keys.slot(await addSlot(repository, spare, { by: 'test', label })));
    await rotateDataKey(repository, { by: 'test' });
  }
  writeFileSync(join(own[1]!.roots[0]!.path, 'late'), contentOf(900_000, 9));
  const second = await back();
  for (const name of [first, second]) await pin(repository, name, { by: 'test' });
  for (const operation of ['one', 'two']) await stageJson(repository, `${keys.staging(2, operation)}n1/packs`, []);
  const { root } = await presentRoot(repository);
  const [one, two] = root.backups as [(typeof root.backups)[0], (typeof root.backups)[0]];
  const index = root.indexes.find(({ id }) => !indexes.some((former) => former.id === id))!;
  const pack = await packOfLate(repository);
  const pair = (prefix: string) => {
    const [key, other] = made.keys(prefix).toReversed();
    return { key: key!, other: other! };
  };
  return {
    objects: made.objects,
    first,
    second,
    object: {
      repository: { key: 'repository.json', other: keys.root(root.number) },
      root: { key: keys.root(root.number), other: keys.root(root.number - 1) },
      manifest: { key: keys.manifest(two.name, two.id), other: keys.manifest(one.name, one.id) },
      index: { key: keys.index(index.id), other: keys.index(indexes[0]!.id) },
      pack: {
        key: pack,
        other: made.keys('packs/').find((key) => key !== pack && key.includes('/0000000000000001/'))!,
      },
      mark: pair('marks/'),
      lease: pair('leases/'),
      staged: pair('staging/'),
      slot: { key: slots[0] ?? '', other: slots[1] ?? '' },
      dataKey: { key: keys.dataKey(2), other: keys.dataKey(1) },
    },
  };
}

/** A pack with a part of the file `late` alone. */
async function packOfLate(repository: Repository): Promise<string> {
  const { root } = await presentRoot(repository);
  const reader = new ChunkReader(repository, await openIndexes(repository, root));
  const { nodes: own } = await readManifest(repository, root.backups.at(-1)!);
  const { tree } = own[1]!.roots[0]!;
  const pages = new Set<string>();
  if ('pages' in tree) for (const { chunk } of tree.pages) pages.add((await reader.locate(chunk))!.pack.id);
  for await (const { path, chunks } of readTree(reader, tree)) {
    for (let at = 0; path === 'late' && at < chunks!.length; at += 36) {
      const { pack } = (await reader.locate(Buffer.from(chunks!.subarray(at, at + 32))))!;
      if (!pages.has(pack.id)) return keys.pack(pack.id);
    }
  }
  throw new Error('no pack of late alone');
}

beforeEach(() => {
  store = new ScriptedStore();
  for (const [key, { body }] of here.objects) store.put(key, Buffer.from(body));
});

function damage(kind: Kind, how: Damage): string {
  const { key, other } = here.object[kind];
  const body = Buffer.from(store.objects.get(key)!.body);
  if (how === 'missing') store.objects.delete(key);
  else if (how === 'truncated') store.put(key, body.subarray(0, body.length >> 1));
  else if (how === 'empty') store.put(key, Buffer.alloc(0));
  else if (how === "another repository's")
    store.put(key, Buffer.from(elsewhere.objects.get(elsewhere.object[kind].key)!.body));
  else if (how === 'swapped') {
    store.put(key, Buffer.from(store.objects.get(other)!.body));
    store.put(other, body);
  } else {
    // In plain JSON not every bit says something: one in the id, one in the number of the epoch, one in what only a secret opens.
    const at =
      kind === 'repository'
        ? body.indexOf('"id"') + 9
        : kind === 'lease'
          ? body.indexOf('"epoch"') + 8
          : kind === 'slot'
            ? body.toString('latin1').search(/(?<="wrapped":"[a-f]*)[0-9]/)
            : body.length >> 1;
    body[at]! ^= 1;
    store.put(key, body);
  }
  return key;
}

let restores = 0;

/** Over old files; answers why it failed, and what stands there now. */
async function restore(backup: string, node: number, paths: string[] = []): Promise<{ error?: Error; to: string }> {
  const to = join(base, `restored-${++restores}`);
  makeTree(to, { late: file(10, 7), c: file(10, 7) });
  const input = {
    operation: `restore-${restores}`,
    node: nodes[node]!,
    backup,
    from: nodes[node]!.id,
    paths,
    to,
    verifyExisting: false,
  };
  try {
    await restoreNode(await openRepository(store, { cluster: 'east', ...sealed }), input, jobs.context);
    return { to };
  } catch (error) {
    return { error: error as Error, to };
  }
}

const old = (to: string, name: string): boolean =>
  existsSync(join(to, name)) && readFileSync(join(to, name)).equals(contentOf(10, 7));

describe.each<[string, Sealed]>([
  ['a plain repository', {}],
  ['an encrypted repository', encrypted],
])('in %s', (_, how) => {
  beforeAll(async () => {
    sealed = how;
    base = mkdtempSync(join(tmpdir(), 'homarus-damaged-'));
    jobs = givenContext();
    here = await given(join(base, 'here'), how);
    elsewhere = await given(join(base, 'elsewhere'), how);
    nodes = ['n1', 'n2'].map((id) => givenNode(join(base, 'here'), id));
  }, 60_000);
  afterAll(async () => {
    await jobs.close();
    rmSync(base, { recursive: true, force: true });
  });

  describe.each(how.encryption ? [...kinds, ...keyKinds] : kinds)('of the %s', (kind) => {
    test.each(damages)('%s: verify names it, and restores do what they can', async (how) => {
      const directory = join(base, 'state');
      const seen = new SeenRoots(directory);
      const whole = await openRepository(store, { cluster: 'east', ...sealed });
      await seen.check(whole, await presentRoot(whole));
      const key = damage(kind, how);

      const names = async (): Promise<string[]> => {
        try {
          const repository = await openRepository(store, { cluster: 'east', ...sealed });
          const options = { directory, readData: { percent: 100 } };
          const { damaged } = await verify(repository, jobs.context, options);
          await seen.check(repository, await presentRoot(repository));
          return damaged;
        } catch (error) {
          return [(error as Error).message];
        }
      };
      const named = await names();
      // A root that is gone leaves an older one behind: it is its number that tells.
      const expected = kind === 'root' && how === 'missing' ? `root ${Number(key.slice(-16))}` : key;
      if (unseen(kind, how, sealed)) expect(named).toEqual([]);
      else expect(named.join()).toContain(expected);
      // Where the present data key is lost no report can be written: that is all that is told.
      if (how === 'swapped' && !['repository', 'root', 'dataKey'].includes(kind))
        expect(named).toContain(here.object[kind].other);

      const touched = await restore(here.second, 1);
      if (['mark', 'lease', 'staged', 'slot'].includes(kind)) {
        expect(touched.error).toBeUndefined();
        expect(compareTrees(sourceOf(1), touched.to)).toEqual([]);
        return;
      }
      expect(touched.error?.message).toBeDefined();
      expect(old(touched.to, 'late')).toBe(true);
      if (kind === 'repository' || (kind === 'root' && how !== 'missing')) return;
      if (kind === 'root') {
        expect(touched.error?.message).toContain(here.second);
      } else if (kind === 'manifest') {
        expect(touched.error?.message).toContain(key);
        expect(old(touched.to, 'c')).toBe(true);
      } else if (kind === 'dataKey') {
        expect(touched.error?.message).toMatch(/late|a page of a tree/);
      } else {
        expect(touched.error?.message).toMatch(kind === 'pack' ? /"[^"]*late"/ : /late|a page of a tree/);
        const others = how === 'swapped' ? [key, here.object[kind].other] : [key];
        expect(others.filter((one) => touched.error?.message.includes(one))).not.toEqual([]);
      }
      // The pages of the second backup's tree stand in the damaged index, too: of it only what n1 has is left.
      const others: [string, number, string[]][] = [[here.first, 0, []]];
      if (how !== 'swapped') others.push([here.first, 1, []]);
      if (kind === 'pack') others.push([here.second, 1, ['d']]);
      if (kind !== 'manifest' && kind !== 'root') others.push([here.second, 0, []]);
      if (how === 'swapped') return;
      for (const [backup, node, paths] of others) {
        const other = await restore(backup, node, paths);
        expect(other.error).toBeUndefined();
        if (paths.length === 0 && node === 0) expect(compareTrees(sourceOf(0), other.to)).toEqual([]);
      }
    });
  });
});
