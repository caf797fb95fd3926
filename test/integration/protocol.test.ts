import { afterEach, expect, jest, test } from '@jest/globals';
import { keys } from '../../src/domain/documents.ts';
import type * as Garbage from '../../src/storage/garbage.ts';
import { epochOf } from '../../src/storage/ids.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { sealJson } from '../../src/storage/repository.ts';
import type * as Roots from '../../src/storage/roots.ts';
import type * as Sweep from '../../src/storage/sweep.ts';
import type { Wrongs } from '../storage/protocol.ts';
import { isOurs } from '../support/part.ts';

/**
 * The rules of commit, lock, floor and deletion in a search of interleavings (`protocol.ts`): as they are they hold, and
 * each of them is there because without it the search finds what goes wrong.
 */

const RUNS = process.env.HOMARUS_LONG === '1' ? 20_000 : 300;
/** In so many runs a broken rule must show. */
const SHOWS_WITHIN = 10_000;
const HOURS = 4 * 3600_000;

afterEach(() => {
  for (const name of ['roots', 'sweep', 'garbage']) jest.unstable_unmockModule(`../../src/storage/${name}.ts`);
  jest.resetModules();
});

/** The first run in which something goes wrong, and if that is not enough, just so. */
async function search(runs: number, how: { wrongs?: Wrongs; wrong?: RegExp } = {}): Promise<string | undefined> {
  const { Protocol, givenBase } = await import('../storage/protocol.ts');
  const base = await givenBase();
  for (let seed = 1; seed <= runs; seed++) {
    if (how.wrongs === undefined && how.wrong === undefined && !isOurs(seed)) continue;
    const { faults, trace } = await Protocol.run(base, seed, how.wrongs);
    const { wrong = /./ } = how;
    if (faults.some((fault) => wrong.test(fault))) return [`seed ${seed}`, ...faults, ...trace].join('\n');
  }
  return undefined;
}

test(
  'whoever sleeps, dies or comes late: what is listed restores, and who was told is told the truth',
  async () => {
    expect(await search(RUNS)).toBeUndefined();
  },
  HOURS,
);

type Commit = typeof Roots.commit;

/** A commit of one try, without what follows it. */
async function create(
  { presentRoot }: typeof Roots,
  ...[repository, planned, change, nonce]: Parameters<Commit>
): Promise<{ answer: 'created' | 'exists'; at: Roots.RootAt }> {
  const own = { number: planned.root.number + 1, previous: planned.hash, nonce, written: '' };
  const root = { ...change({ ...planned.root, ...own }), ...own };
  const key = keys.root(own.number);
  const sealed = sealJson(repository, { kind: 'root', key }, root);
  const answer = await repository.store.create(key, sealed);
  const { hash, length } = await presentRoot(repository);
  return { answer, at: { root, hash, length } };
}

async function removeWhere(repository: Repository, prefix: string, which: (key: string) => boolean): Promise<void> {
  const keys: string[] = [];
  for await (const { key } of repository.store.list(prefix)) if (which(key)) keys.push(key);
  if (keys.length > 0) await repository.store.remove(keys);
}

interface Broken {
  roots?: (real: typeof Roots) => Partial<typeof Roots>;
  sweep?: (real: typeof Sweep, garbage: typeof Garbage) => Partial<typeof Sweep>;
  garbage?: (real: typeof Garbage) => Partial<typeof Garbage>;
  wrongs?: Wrongs;
  /** How it shows. */
  wrong: RegExp;
}

const broken: Record<string, Broken> = {
  'nobody looks after the create': {
    wrong: /was told to stand and was never listed/,
    roots: (real) => ({
      async commit(...all) {
        const { answer, at } = await create(real, ...all);
        return answer === 'created'
          ? { result: 'stands', at }
          : { result: 'lost', highest: await real.presentRoot(all[0]) };
      },
    }),
  },
  'who finds another root there reads it and goes on': {
    wrong: /was committed by .* while .* held the lock/,
    roots: (real) => ({
      async commit(repository, planned, change, nonce, options) {
        for (let on = planned; ; ) {
          const outcome = await real.commit(repository, on, change, nonce, options);
          if (outcome.result === 'stands') return outcome;
          on = outcome.highest;
        }
      },
    }),
  },
  'what the own root does not name is deleted': {
    wrong: /is gone|has no pack/,
    sweep: (_, { ledTo }) => ({
      async sweep(repository, at) {
        const led = await ledTo(repository, at.root);
        for (const prefix of ['manifests/', 'indexes/', 'packs/']) {
          await removeWhere(repository, prefix, (key) => !led.has(key));
        }
        return { deleted: 0, bytes: 0, retained: 0 };
      },
    }),
  },
  'what is at or below the floor is adopted': {
    wrong: /has no pack/,
    garbage: (real) => ({
      findOrphans: (repository, root, options) => real.findOrphans(repository, { ...root, floor: 0 }, options),
    }),
  },
  'what others staged is swept': {
    wrong: /holds the lock and fails: ObjectMissing: staged/,
    sweep: (real) => ({
      async sweep(repository, at, epoch, options) {
        await removeWhere(repository, 'staging/', (key) => epochOf(key) !== epoch);
        return real.sweep(repository, at, epoch, options);
      },
    }),
  },
  'the plan is kept when the race was lost': { wrongs: { keepsPlan: true }, wrong: /has no pack/ },
};

test.each(Object.keys(broken))(
  'where %s, the search finds what goes wrong',
  async (rule) => {
    const { roots, sweep, garbage, ...how } = broken[rule]!;
    const real = {
      roots: await import('../../src/storage/roots.ts'),
      sweep: await import('../../src/storage/sweep.ts'),
      garbage: await import('../../src/storage/garbage.ts'),
    };
    jest.resetModules();
    const exchange = (name: keyof typeof real, other: object | undefined): void => {
      if (other) jest.unstable_mockModule(`../../src/storage/${name}.ts`, () => ({ ...real[name], ...other }));
    };
    exchange('roots', roots?.(real.roots));
    exchange('sweep', sweep?.(real.sweep, real.garbage));
    exchange('garbage', garbage?.(real.garbage));
    expect(await search(SHOWS_WITHIN, how)).toBeDefined();
  },
  HOURS,
);
