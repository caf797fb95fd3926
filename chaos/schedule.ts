import { randomNumbers } from '../src/cli/sampleTree.ts';

/** What a run does, all of it fixed by its seed: operations, faults, and the moments at which they strike. */

export const KINDS = [
  'kill',
  'restart',
  'stop',
  'temporal killed',
  'temporal refused',
  'temporal dropped',
  'storage killed',
  'storage refused',
  'storage dropped',
  'answers 500',
  'answers 503',
  'answers 429',
  'stalls',
  'late',
  'full',
  'cancel',
  'terminate',
  'reset',
  'rival',
] as const;
export type FaultKind = (typeof KINDS)[number];

/** Of these an operation bears one. */
const ENDINGS: readonly FaultKind[] = ['cancel', 'terminate', 'reset'];

export interface Fault {
  kind: FaultKind;
  /** A process, `temporal`, `storage`, or `operation`; of a file system that is full the node whose root it holds, `storage` or `state`. */
  target: string;
  /** It strikes while so many requests to the storage, of all processes, have come since the operation began: the last of them waits for it. */
  after: number;
  /** ms until it is mended. */
  lasts: number;
}

export interface Step {
  operation: 'backup' | 'cleanup' | 'restore';
  /** A node that a backup does without. */
  without: string | undefined;
  faults: Fault[];
}

export interface Cycle {
  number: number;
  /** Of what changes in the files before it, and of what its checks sample. */
  seed: number;
  steps: Step[];
}

export class Chance {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = randomNumbers(seed);
  }

  /** From `least` up to and with `most`. */
  number(least: number, most: number): number {
    return least + Math.floor(this.#next() * (most - least + 1));
  }

  pick<T>(from: readonly T[]): T {
    return from[this.number(0, from.length - 1)] as T;
  }

  /** True in so many of 100 cases. */
  percent(share: number): boolean {
    return this.#next() * 100 < share;
  }
}

/** The lock lasts 10 s: some faults are over at once, some last nearly as long, some longer. */
const lasting = (chance: Chance): number => {
  const [least, most] = chance.pick([
    [200, 1_500],
    [200, 1_500],
    [200, 1_500],
    [2_000, 6_000],
    [11_000, 12_500],
  ]) as [number, number];
  return chance.number(least, most);
};

export const COORDINATORS = ['coordinator', 'coordinator-2'] as const;

export function cycleOf(seed: number, number: number, nodes: readonly string[]): Cycle {
  const chance = new Chance((seed * 1_000_003 + number) >>> 0);
  const processes = [...COORDINATORS, ...nodes];
  const operations = ['backup', chance.pick(['backup', 'cleanup'] as const), 'restore'] as const;
  const steps: Step[] = [];
  for (const operation of operations) {
    const asleep = steps.at(-1)?.faults.find(({ kind, target }) => kind === 'stop' && nodes.includes(target))?.target;
    const without = operation === 'backup' && asleep !== undefined && chance.percent(60) ? asleep : undefined;
    const faults: Fault[] = [];
    for (let count = chance.number(5, 9); count > 0; count--) {
      const kind = chance.pick(KINDS);
      const target = targetOf(kind, chance.pick(processes));
      const fault = { kind, target, after: Math.ceil(1.6 ** chance.number(0, 10)), lasts: lasting(chance) };
      const clash = faults.some(
        (other) => resourceOf(other) === resourceOf(fault) || (ENDINGS.includes(kind) && ENDINGS.includes(other.kind)),
      );
      if (!clash) faults.push(fault);
    }
    steps.push({ operation, without, faults });
  }
  return { number, seed: chance.number(1, 2 ** 31), steps };
}

function targetOf(kind: FaultKind, process: string): string {
  if (kind === 'temporal killed') return 'temporal';
  if (kind === 'storage killed') return 'storage';
  if (kind === 'full') return diskOf(process);
  return ENDINGS.includes(kind) || kind === 'rival' ? 'operation' : process;
}

function diskOf(process: string): string {
  const [coordinator, other] = COORDINATORS;
  return process === coordinator ? 'storage' : process === other ? 'state' : process;
}

/** What can be broken in one way at a time. */
export function resourceOf({ kind, target }: Pick<Fault, 'kind' | 'target'>): string {
  if (kind === 'rival') return kind;
  if (kind === 'full') return `disk of ${target}`;
  if (target === 'operation' || kind === 'temporal killed' || kind === 'storage killed') return target;
  if (kind === 'kill' || kind === 'restart' || kind === 'stop') return `process ${target}`;
  return `${kind.startsWith('temporal') ? 'Temporal' : 'storage'} of ${target}`;
}
