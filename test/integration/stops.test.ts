import childProcess from 'node:child_process';
import fs from 'node:fs';
import promises from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { watchedFileCalls } from '../stops/fileCalls.ts';
import type { Point } from '../stops/life.ts';
import { Life, livesWatch, storeOf } from '../stops/life.ts';
import type { Operation } from '../stops/operations.ts';
import type { SmallCluster as Cluster, Generation, History } from '../stops/smallCluster.ts';
import { ScriptedStore } from '../storage/scripted.ts';
import { chance } from '../support/chance.ts';

/**
 * Every operation is stopped at every mutation of the storage and of a file system, and so is what comes after it. Here
 * is a sample of these points; with HOMARUS_LONG=1 all of them.
 */

const watched = watchedFileCalls(livesWatch);
const mocked = (real: object, calls: object) => () => ({ ...real, ...calls, default: { ...real, ...calls } });
// `sync -f`: see `noSync`.
const execFile = (...args: unknown[]): void => (args.at(-1) as () => void)();
jest.unstable_mockModule('node:fs', mocked(fs, watched.fs));
jest.unstable_mockModule('node:fs/promises', mocked(promises, watched.promises));
jest.unstable_mockModule('node:child_process', mocked(childProcess, { execFile }));
const { SmallCluster, makePristine } = await import('../stops/smallCluster.ts');
const { backup, restore, cleanup, mend } = await import('../stops/operations.ts');
const { FileStore } = await import('../../src/storage/fileStore.ts');

const all = process.env.HOMARUS_LONG === '1';
/** Points of one operation in the short run. */
const SAMPLE = 8;
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
}

const backedUp = async (cluster: Cluster, ...generations: Generation[]): Promise<void> => {
  for (const generation of generations) {
    if (generation !== 'g1') cluster.edit(generation);
    await undisturbed(cluster, backup(generation));
  }
};

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
  },
  'a repair': {
    async before(cluster) {
      await backedUp(cluster, 'g1', 'g2');
      cluster.pass();
    },
    operation: mend,
    leaves: 'g2',
  },
};

async function undisturbed(cluster: Cluster, operation: Operation, history: History = new Map()): Promise<Life> {
  const life = new Life();
  await life.run(() => operation(cluster, cluster.start(life), history));
  return life;
}

async function given({ before }: Scenario, storage: 'memory' | 'directory'): Promise<Cluster> {
  const directory = join(base, `cluster-${++clusters}`);
  const store = new ScriptedStore();
  const path = join(directory, 'storage');
  const cluster = new SmallCluster(base, directory, (life) => {
    if (storage === 'directory') return new FileStore(path);
    return life ? storeOf(life, store) : store;
  });
  if (storage === 'directory') await FileStore.make(path);
  await cluster.init();
  await before(cluster);
  return cluster;
}

interface Trial {
  point: Point;
  storage: 'memory' | 'directory';
  /** The operation is taken up where it was stopped, or given up and begun anew when its lock has run out. */
  afterwards: 'goes on' | 'begins anew';
  /** What comes then is stopped at this mutation, too. */
  again?: number;
}

/** Answers what was found wrong. */
async function faultsOf(scenario: Scenario, { point, storage, afterwards, again }: Trial): Promise<string[]> {
  const cluster = await given(scenario, storage);
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
    faults.push(...cluster.differences(scenario.leaves));
    cluster.pass();
    await undisturbed(cluster, backup(scenario.leaves));
    await undisturbed(cluster, cleanup({ retention: { keepLast: 1 } }));
    faults.push(...(await cluster.faults()), ...(await cluster.garbage()).map((name) => `${name} is left`));
  } catch (error) {
    faults.push((error as Error).stack ?? String(error));
  }
  cluster.remove();
  return faults.map((fault) => `${storage}${hit}, ${afterwards}: ${fault}`);
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

let ran = 0;
afterAll(() => {
  process.stdout.write(`stops: ${ran} points were run\n`);
});

const LONG = 4 * 3600_000;

test.each(Object.keys(scenarios))(
  'after %s is stopped anywhere, all backups restore, it can be done, and nothing is left behind',
  async (name) => {
    const scenario = scenarios[name]!;
    const faults: string[] = [];
    const attempt = async (trial: Trial): Promise<void> => {
      ran++;
      if (faults.length < 20) faults.push(...(await faultsOf(scenario, trial)));
    };
    for (const storage of ['memory', 'directory'] as const) {
      const cluster = await given(scenario, storage);
      const { counts } = await undisturbed(cluster, scenario.operation);
      cluster.remove();
      for (const [place, at] of points(counts.all, SAMPLE).entries()) {
        for (const afterwards of eachOf(['goes on', 'begins anew'] as const, place)) {
          await attempt({ point: { at, fate: 'stop' }, storage, afterwards });
          const again = 1 + Math.floor(chance() * counts.all);
          if (place % 4 === 0) await attempt({ point: { at, fate: 'stop' }, storage, afterwards, again });
        }
      }
      for (const [place, at] of points(counts.storage, SAMPLE / 3).entries()) {
        for (const fate of eachOf(['lost answer', 'refused', 'late'] as const, place)) {
          await attempt({ point: { at, fate }, storage, afterwards: 'goes on' });
        }
      }
    }
    expect(faults).toEqual([]);
  },
  LONG,
);
