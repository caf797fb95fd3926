import childProcess from 'node:child_process';
import fs from 'node:fs';
import promises from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import type { RootKeys } from '../../src/domain/documents.ts';
import type { CleanupResult } from '../../src/domain/results.ts';
import type { Repository } from '../../src/storage/repository.ts';
import type { Secret } from '../../src/storage/secret.ts';
import { watchedFileCalls } from '../stops/fileCalls.ts';
import type { Generation } from '../stops/generations.ts';
import type { Point } from '../stops/life.ts';
import { Life, livesWatch, storeOf } from '../stops/life.ts';
import type { Operation } from '../stops/operations.ts';
import type { SmallCluster as Cluster, History } from '../stops/smallCluster.ts';
import { encrypted } from '../storage/given.ts';
import { ScriptedStore } from '../storage/scripted.ts';
import { chance } from '../support/chance.ts';
import { isOurs } from '../support/part.ts';

/**
 * Every operation is stopped at every mutation of the storage and of a file system, and so is what comes after it. Here
 * is a sample of these points; with HOMARUS_LONG=1 all of them, or a part of these (HOMARUS_PART=2/5).
 */

const watched = watchedFileCalls(livesWatch);
const mocked = (real: object, calls: object) => () => ({ ...real, ...calls, default: { ...real, ...calls } });
// `sync -f`: see `noSync`.
const execFile = (...args: unknown[]): void => (args.at(-1) as () => void)();
jest.unstable_mockModule('node:fs', mocked(fs, watched.fs));
jest.unstable_mockModule('node:fs/promises', mocked(promises, watched.promises));
jest.unstable_mockModule('node:child_process', mocked(childProcess, { execFile }));
const { SmallCluster } = await import('../stops/smallCluster.ts');
const { makePristine } = await import('../stops/generations.ts');
const { backup, restore, cleanup, mend, changeKeys, reencrypt } = await import('../stops/operations.ts');
const { addSlot, listSlots, removeSlot, rotateDataKey } = await import('../../src/storage/keyChanges.ts');
const { presentRoot } = await import('../../src/storage/roots.ts');
const { FileStore } = await import('../../src/storage/fileStore.ts');

const all = process.env.HOMARUS_LONG === '1';
/** Points of one operation in the short run. */
const SAMPLE = 6;
/** In memory, where there is such a file system: so many small files are slow on a disk. */
const room = fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const base = fs.mkdtempSync(join(room, 'homarus-stops-'));
let clusters = 0;

beforeAll(() => makePristine(base));
afterAll(() => fs.rmSync(base, { recursive: true, force: true }));

interface Scenario {
  before(cluster: Cluster): Promise<void>;
  operation: Operation;
  /** What the nodes hold when it has succeeded. */
  leaves: Generation;
  /** Only of an encrypted repository. */
  keys?: true;
  /** Nothing goes on where it was: what was stopped is begun anew, when its lock has run out. */
  anew?: true;
  /** True when its history says that it did what is to be stopped here. */
  did?(history: History): boolean;
  /** What is missing when it has succeeded. */
  missing?(cluster: Cluster): Promise<string[]>;
}

const backedUp = async (cluster: Cluster, ...generations: Generation[]): Promise<void> => {
  for (const generation of generations) {
    if (generation !== 'g1') cluster.edit(generation);
    await undisturbed(cluster, backup(generation));
  }
};

const rewritten = (history: History): boolean => (history.get('cleanup') as CleanupResult).rewrittenPacks > 0;

const scenarios: Record<string, Scenario> = {
  'a first backup': { before: async () => undefined, operation: backup('g1'), leaves: 'g1' },
  'a backup of what changed': {
    async before(cluster) {
      await backedUp(cluster, 'g1');
      cluster.edit('g2');
    },
    operation: backup('g2'),
    leaves: 'g2',
  },
  'a restore into place': {
    async before(cluster) {
      await backedUp(cluster, 'g1', 'g2');
      cluster.damage();
    },
    operation: restore,
    leaves: 'g2',
  },
  'a cleanup that deletes': {
    before: (cluster) => backedUp(cluster, 'g1', 'g2', 'g3'),
    operation: cleanup({ retention: { keepLast: 1 } }),
    leaves: 'g3',
    did: rewritten,
  },
  'a repair': {
    async before(cluster) {
      await backedUp(cluster, 'g1', 'g2');
      cluster.pass();
    },
    operation: mend,
    leaves: 'g2',
  },
  'the addition of a key': {
    before: (cluster) => backedUp(cluster, 'g1'),
    operation: changeKeys((repository) => addSlot(repository, spare, { by, label: 'spare', scrypt: encrypted.scrypt })),
    leaves: 'g1',
    keys: true,
    anew: true,
    missing: async (cluster) => ((await labels(cluster)).includes('spare') ? [] : ['there is no other slot']),
  },
  'the removal of a key': {
    async before(cluster) {
      await backedUp(cluster, 'g1');
      await addSlot(cluster.repository(), spare, { by, label: 'spare', scrypt: encrypted.scrypt });
    },
    async operation(...all) {
      if ((await labels(all[0])).includes('spare')) await removeSpare(...all);
    },
    leaves: 'g1',
    keys: true,
    anew: true,
    missing: async (cluster) => ((await labels(cluster)).includes('spare') ? ['the slot is still there'] : []),
  },
  'a new data key': {
    before: (cluster) => backedUp(cluster, 'g1'),
    operation: changeKeys((repository) => rotateDataKey(repository, { by })),
    leaves: 'g1',
    keys: true,
    anew: true,
    missing: async (cluster) => ((await keysOf(cluster)).generation > 1 ? [] : ['there is no new data key']),
  },
  'a re-encryption': {
    before: (cluster) => backedUp(cluster, 'g1', 'g2'),
    operation: reencrypt,
    leaves: 'g2',
    keys: true,
    anew: true,
    did: rewritten,
    async missing(cluster) {
      const faults: string[] = [];
      if ((await keysOf(cluster)).rewriteBelow !== undefined) faults.push('packs are still to be rewritten');
      const { store } = cluster.repository();
      for (const prefix of ['packs/', 'indexes/']) {
        for await (const { key } of store.list(prefix)) {
          if ((await store.read(key))!.readUInt32LE(8) < 2) faults.push(`${key} is sealed with the former data key`);
        }
      }
      return faults;
    },
  },
};

const by = 'test';
const spare: Secret = { kind: 'keyFile', bytes: Buffer.alloc(32, 'spare') };
const keysOf = async (cluster: Cluster) => (await presentRoot(cluster.repository())).root.keys as RootKeys;
async function slotsOf(repository: Repository) {
  return listSlots(repository, await presentRoot(repository));
}
const labels = async (cluster: Cluster) => (await slotsOf(cluster.repository())).map(({ label }) => label);
const removeSpare = changeKeys(async (repository) => {
  const slot = (await slotsOf(repository)).find(({ label }) => label === 'spare');
  // A step whose answer was lost is done again: it may be gone.
  if (slot) await removeSlot(repository, slot.id, { by });
});

async function undisturbed(cluster: Cluster, operation: Operation, history: History = new Map()): Promise<Life> {
  const life = new Life();
  await life.run(() => operation(cluster, cluster.start(life), history));
  return life;
}

interface Variant {
  storage: 'memory' | 'directory';
  isEncrypted: boolean;
}

const variants: Variant[] = [
  { storage: 'memory', isEncrypted: false },
  { storage: 'directory', isEncrypted: true },
  ...(all
    ? ([
        { storage: 'memory', isEncrypted: true },
        { storage: 'directory', isEncrypted: false },
      ] as const)
    : []),
];

async function given({ before }: Scenario, { storage, isEncrypted }: Variant): Promise<Cluster> {
  const directory = join(base, `cluster-${++clusters}`);
  const store = new ScriptedStore();
  const path = join(directory, 'storage');
  const cluster = new SmallCluster(base, directory, (life) => {
    if (storage === 'directory') return new FileStore(path);
    return life ? storeOf(life, store) : store;
  });
  if (storage === 'directory') await FileStore.make(path);
  await cluster.init({ isEncrypted });
  await before(cluster);
  return cluster;
}

interface Trial {
  point: Point;
  variant: Variant;
  /** The operation is taken up where it was stopped, or given up and begun anew when its lock has run out. */
  afterwards: 'goes on' | 'begins anew';
  /** What comes then is stopped at this mutation, too. */
  again?: number;
}

/** Answers what was found wrong. */
async function faultsOf(scenario: Scenario, { point, variant, afterwards, again }: Trial): Promise<string[]> {
  const cluster = await given(scenario, variant);
  let history: History = new Map();
  const faults: string[] = [];
  let hit = '';
  try {
    let ended: unknown = 'stopped';
    const late: Life['late'] = [];
    for (const next of [point, ...(again ? [{ at: again, fate: 'stop' } as const] : []), undefined]) {
      if (ended !== 'stopped') break;
      const life = new Life(next);
      ended = await life.run(() => scenario.operation(cluster, cluster.start(life), history));
      late.push(...life.late);
      if (next) hit += `, at ${next.at}: ${next.fate}: ${life.hit.replaceAll(base, '')}`;
      faults.push(...(await cluster.faults()));
      if (afterwards === 'goes on') continue;
      history = new Map();
      cluster.pass();
    }
    for (const write of late) await write();
    faults.push(...((await scenario.missing?.(cluster)) ?? []));
    faults.push(...cluster.differences(scenario.leaves));
    cluster.pass();
    if (variant.isEncrypted)
      await undisturbed(
        cluster,
        changeKeys((repository) => rotateDataKey(repository, { by })),
      );
    await undisturbed(cluster, backup(scenario.leaves));
    await undisturbed(cluster, cleanup({ retention: { keepLast: 1 } }));
    faults.push(...(await cluster.faults()), ...(await cluster.garbage()).map((name) => `${name} is left`));
  } catch (error) {
    faults.push((error as Error).stack ?? String(error));
  }
  cluster.remove();
  const { storage, isEncrypted } = variant;
  const where = `${storage}${isEncrypted ? ', encrypted' : ''}`;
  return faults.map((fault) => `${where}${hit}, ${afterwards}: ${fault}`);
}

/** Every one of `1..most`, or some that lie evenly, with a start by chance. */
function points(most: number, sample: number): number[] {
  const step = all ? 1 : Math.max(1, most / sample);
  const points: number[] = [];
  for (let at = 1 + chance() * (step - 1); at <= most; at += step) points.push(Math.floor(at));
  return points;
}

const eachOf = <T>(values: readonly T[], place: number): readonly T[] =>
  all ? values : [values[place % values.length] as T];

let met = 0;
let ran = 0;
afterAll(() => {
  process.stdout.write(`stops: ${ran} points were run of ${met}\n`);
});

const LONG = 4 * 3600_000;

test.each(Object.keys(scenarios))(
  'after %s is stopped anywhere, all backups restore, it can be done, and nothing is left behind',
  async (name) => {
    const scenario = scenarios[name]!;
    const faults: string[] = [];
    const attempt = async (trial: Trial): Promise<void> => {
      if (!isOurs(met++)) return;
      ran++;
      if (faults.length < 20) faults.push(...(await faultsOf(scenario, trial)));
    };
    const ways = scenario.anew ? (['begins anew'] as const) : (['goes on', 'begins anew'] as const);
    for (const variant of variants.filter(({ isEncrypted }) => isEncrypted || !scenario.keys)) {
      const cluster = await given(scenario, variant);
      const history: History = new Map();
      const { counts } = await undisturbed(cluster, scenario.operation, history);
      expect(scenario.did?.(history) ?? true).toBe(true);
      expect((await scenario.missing?.(cluster)) ?? []).toEqual([]);
      cluster.remove();
      for (const [place, at] of points(counts.all, SAMPLE).entries()) {
        for (const afterwards of eachOf(ways, place)) {
          await attempt({ point: { at, fate: 'stop' }, variant, afterwards });
          const again = 1 + Math.floor(chance() * counts.all);
          if (place % 4 === 0) await attempt({ point: { at, fate: 'stop' }, variant, afterwards, again });
        }
      }
      for (const [place, at] of points(counts.storage, SAMPLE / 3).entries()) {
        for (const fate of eachOf(['lost answer', 'refused', 'late'] as const, place)) {
          await attempt({ point: { at, fate }, variant, afterwards: ways[0] });
        }
      }
    }
    expect(faults).toEqual([]);
  },
  LONG,
);
