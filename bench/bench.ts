import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import type { Contender, Place } from './contender.ts';
import type { DataSet } from './data.ts';
import { Homarus } from './homarus.ts';
import type { Measured } from './measure.ts';
import { installedPeers } from './peers.ts';

/** Of one contender in one case: all its runs. */
export interface Figure {
  /** What was done, e.g. `backup`, `restore`. */
  what: string;
  who: string;
  runs: Measured[];
  /** Bytes of the repository afterwards, or that were added. */
  stored?: number;
  /** To the storage, by verb. */
  requests?: Record<string, number>;
}

/** A goal of a case, what was reached, and whether that is it. */
export interface Goal {
  goal: string;
  reached: string;
  met: boolean;
}

export interface CaseResult {
  figures: Figure[];
  goals: Goal[];
}

export interface Case {
  /** As issues and docs call it. */
  id: string;
  title: string;
  run(bench: Bench): Promise<CaseResult>;
}

export interface BenchOptions {
  room: string;
  /** Of the numbers of files and bytes. */
  scale: number;
  /** Each thing is measured so often, and the median counts. */
  runs: number;
  peers: readonly string[];
  /** By `performance.now()`: from then on nothing is begun, and what is measured is not repeated. */
  deadline: number;
  note(text: string): void;
}

/** What cases have in common: the data's room, the contenders, which keep their last repository from case to case. */
export class Bench {
  readonly options: BenchOptions;
  #contenders: Contender[] | undefined;
  /** What the contenders' repositories hold a backup of. */
  #holding: string | undefined;
  readonly #open: Homarus[] = [];

  constructor(options: BenchOptions) {
    this.options = options;
    mkdirSync(options.room, { recursive: true });
  }

  get room(): string {
    return this.options.room;
  }

  /** At least `least`. */
  scaled(count: number, least = 1): number {
    return Math.max(least, Math.round(count * this.options.scale));
  }

  /** Homarus comes first. */
  contenders(place?: Place, peers = this.options.peers): Contender[] {
    if (place !== undefined) return [this.homarus(place), ...installedPeers(place, peers)];
    this.#contenders ??= this.contenders({ room: this.room });
    return this.#contenders.filter(({ name }) => name === 'homarus' || peers.includes(name));
  }

  homarus(place: Place, options: ConstructorParameters<typeof Homarus>[1] = {}): Homarus {
    const homarus = new Homarus(place, options);
    this.#open.push(homarus);
    return homarus;
  }

  /** Each contender's first backup of the data into a new repository, turn by turn. */
  async firstBackups(data: DataSet, contenders: readonly Contender[]): Promise<Figure[]> {
    this.#holding = undefined;
    const figures = await this.rounds(contenders, 'first backup', async (contender) => {
      await contender.begin(data.directory);
      return () => contender.backup();
    });
    for (const [place, contender] of contenders.entries()) (figures[place] as Figure).stored = contender.stored();
    this.#holding = data.name;
    return figures;
  }

  /** Sees to it that each contender's repository holds a backup of the data. */
  async holding(data: DataSet, contenders: readonly Contender[]): Promise<void> {
    if (this.#holding === data.name) return;
    this.#holding = undefined;
    for (const contender of contenders) {
      this.options.note(`  ${contender.name}: first backup of ${data.name}, not measured`);
      await contender.begin(data.directory);
      await contender.backup();
    }
    this.#holding = data.name;
  }

  /** Measures all contenders `runs` times in turns, so that what else the machine does hits all alike. */
  async rounds<C extends { name: string }>(
    contenders: readonly C[],
    what: string,
    prepare: (contender: C) => Promise<() => Promise<Measured>>,
    runs = this.options.runs,
  ): Promise<Figure[]> {
    const figures: Figure[] = contenders.map(({ name }) => ({ what, who: name, runs: [] }));
    for (let round = 1; round <= runs && (round === 1 || !this.late); round++) {
      for (const [place, contender] of contenders.entries()) {
        const work = await prepare(contender);
        settle();
        const measured = await work();
        this.options.note(`  ${contender.name}: ${what}, round ${round}: ${measured.seconds.toFixed(2)} s`);
        figures[place]?.runs.push(measured);
      }
    }
    return figures;
  }

  get late(): boolean {
    return performance.now() > this.options.deadline;
  }

  /** The repositories hold something else now. */
  forget(): void {
    this.#holding = undefined;
  }

  /** The contenders' versions. */
  versions(): string[] {
    return this.contenders().map(({ version }) => version);
  }

  async close(): Promise<void> {
    for (const homarus of this.#open.splice(0)) await homarus.close();
  }

  /** Ends the clusters that stand in a room of their own. */
  async closeIn(room: string): Promise<void> {
    for (const homarus of this.#open) if (homarus.isIn(room)) await homarus.close();
  }
}

/** What was written before is not to be written back while something else is measured. */
export function settle(): void {
  spawnSync('sync');
}
