import { rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { StackProcess } from '../src/cli/devStack.ts';
import { changeSampleTree } from '../src/cli/sampleTree.ts';
import { type Operations, operationId, startOperation } from '../src/client/operations.ts';
import type { OperationStatus } from '../src/client/progress.ts';
import type { VerifyResult } from '../src/domain/results.ts';
import { namesIn } from '../src/node/workDirectory.ts';
import type { TestCluster } from '../test/support/cluster.ts';
import { faultyCluster, give, wipe } from '../test/support/faults.ts';
import { contentOf, leftOver, listed, strays, wrongExtract, wrongFiles } from './checks.ts';
import { Disks } from './disks.ts';
import { type Mend, start, strikes } from './faults.ts';
import { type Ended, endOf, KEPT, Model } from './model.ts';
import { Chance, COORDINATORS, cycleOf, type Fault, resourceOf, type Step } from './schedule.ts';
import { Writers } from './writers.ts';

/** The lock's time of `faultyCluster` is 10 s: whoever waits for longer than this was locked out by a dead operation. */
const WAIT_FOR_LOCK = 25_000;
/** Longer than any operation takes with all that is done to it, ms: it hangs. */
const HANGS = 240_000;

/** How operations may end when they are disturbed. */
const HONEST = ['LockLost', 'LockHeld', 'NodeUnavailable', 'StoreUnreachable'];
/** And while a file system is full, or was. */
const FULL = ['StoreFull', 'NoSpace'];

export interface Report {
  seed: number;
  cycles: number;
  /** That struck, by kind. */
  faults: Record<string, number>;
  /** Ends of the operations that were disturbed, by kind and state or code. */
  ends: Record<string, number>;
  /** Processes that ended by themselves and were started again, as by a supervisor. */
  restarts: number;
  violations: { cycle: number; what: string }[];
}

export interface ChaosOptions {
  seed: number;
  nodes?: number;
  /** What happens, line by line. */
  note: (line: string) => void;
}

const RETENTION = { retention: { keepLast: KEPT } };

interface Disturbance {
  faults: readonly Fault[];
  /** Of the cycle; rivals come to it. */
  ended: Promise<Ended>[];
  listedBefore: readonly string[];
}

/** An operation that is to be disturbed: how many requests had come when it began, and when it is over. */
interface Begun {
  id: string;
  from: number;
  over: Promise<void>;
}

/** A cluster to which everything happens that can happen, and a model that knows what must come of it. */
export class Chaos {
  readonly report: Report;
  readonly #cluster: TestCluster;
  readonly #disks: Disks;
  readonly #writers: Writers;
  readonly #note: (line: string) => void;
  readonly #model = new Model();
  readonly #broken = new Map<string, Promise<void>>();
  readonly #watch: NodeJS.Timeout;
  /** Processes whose end is awaited, and those that have ended. */
  readonly #watched = new WeakSet<StackProcess>();
  readonly #ended = new WeakSet<StackProcess>();
  /** In this cycle. */
  #ranFull = false;
  #began = performance.now();

  private constructor(cluster: TestCluster, disks: Disks, { seed, note }: ChaosOptions) {
    this.#cluster = cluster;
    this.#disks = disks;
    this.#writers = new Writers(cluster.nodes, (node) => cluster.root(node));
    this.#note = note;
    this.report = { seed, cycles: 0, faults: {}, ends: {}, restarts: 0, violations: [] };
    this.#watch = setInterval(() => this.#supervise(), 500);
  }

  static async start(options: ChaosOptions): Promise<Chaos> {
    const nodes = Array.from({ length: options.nodes ?? 3 }, (_, number) => `n${number + 1}`);
    const disks = new Disks();
    if (!disks.there) options.note('no file system runs full: this needs the right to mount');
    const cluster = await faultyCluster({
      nodes,
      timeouts: { retryFor: '20s', stall: '2s', connect: '1s' },
      before: (made) => disks.mount(made),
      // What is left to be looked at is on them.
      after: () => process.env.HOMARUS_KEEP || disks.unmount(),
    });
    await cluster.launch(COORDINATORS[1]);
    const chaos = new Chaos(cluster, disks, options);
    await chaos.#peace(new Chance(0));
    return chaos;
  }

  get directory(): string {
    return this.#cluster.directory;
  }

  get faults(): number {
    return Object.values(this.report.faults).reduce((sum, count) => sum + count, 0);
  }

  /** One cycle: changed files, operations with faults, then peace, in which everything must be right. */
  async cycle(number: number): Promise<void> {
    const cycle = cycleOf(this.report.seed, number, this.#cluster.nodes);
    const chance = new Chance(cycle.seed);
    this.#began = performance.now();
    this.#ranFull = false;
    this.#note(`cycle ${number}`);
    this.#change(chance);
    const present = contentOf(this.#cluster);
    const ended: Promise<Ended>[] = [];
    let restored = true;
    for (const step of cycle.steps) {
      if (step.operation === 'restore') restored = await this.#restore(step, chance, ended);
      else await this.#step(step, step.operation, ended);
    }
    await this.#mendAll();
    const ends = await Promise.all(ended);
    this.#violations(this.#model.agree(await this.#listed(), ends, present));
    if (!restored) await this.#restoreInPeace();
    await this.#peace(chance);
    this.report.cycles++;
  }

  /** Every listed backup, whole. */
  async everything(): Promise<void> {
    for (const name of this.#model.names) {
      for (const node of this.#model.of(name).content.keys()) await this.#extract(name, node);
    }
  }

  async #extract(backup: string, node: string): Promise<void> {
    this.#violations(await wrongExtract(this.#cluster, backup, node, this.#model.of(backup)));
  }

  async stop(): Promise<void> {
    clearInterval(this.#watch);
    await Promise.allSettled(this.#broken.values());
    await this.#cluster.stop();
  }

  #change(chance: Chance): void {
    for (const node of this.#cluster.nodes) {
      changeSampleTree(this.#cluster.root(node), chance.number(1, 1_000_000));
      if (chance.percent(40)) give(this.#cluster, node);
      const data = join(this.#cluster.root(node), 'data');
      const old = namesIn(data).filter((name) => name.startsWith('table-new-'));
      if (old.length > 3) rmSync(join(data, old.sort()[0]!), { recursive: true });
    }
  }

  async #step({ faults, without }: Step, name: 'backup' | 'cleanup', ended: Promise<Ended>[]): Promise<void> {
    const listedBefore = (await this.#listed()).map((one) => one.name);
    const request = name === 'cleanup' ? RETENTION : without ? { withoutNodes: [without] } : {};
    const { written, stop } = this.#writers.start();
    const status = await this.#disturbed(name, request, { faults, ended, listedBefore }).finally(stop);
    ended.push(Promise.resolve({ ...endOf(status, faults), listedBefore, written }));
  }

  /** Brings the newest known backup back; true when it succeeded. */
  async #restore({ faults }: Step, chance: Chance, ended: Promise<Ended>[]): Promise<boolean> {
    const [backup = ''] = this.#model.complete;
    const root = this.#cluster.root(chance.pick(this.#cluster.nodes));
    if (chance.percent(60)) wipe(root);
    else for (const name of namesIn(join(root, 'log'))) unlinkSync(join(root, 'log', name));
    const listedBefore = (await this.#listed()).map((one) => one.name);
    const { state } = await this.#disturbed('restore', { backup }, { faults, ended, listedBefore });
    if (state !== 'succeeded') return false;
    await this.#checkRoots(backup);
    return true;
  }

  async #checkRoots(backup: string): Promise<void> {
    await this.#broken.get('storage');
    this.#violations(
      await wrongFiles(this.#cluster, backup, this.#model.of(backup), (node) => this.#cluster.root(node)),
    );
  }

  /** Starts an operation, does its faults to it, and answers how it ended. */
  async #disturbed<N extends Ended['kind']>(
    name: N,
    request: Operations[N]['request'],
    { faults, ended, listedBefore }: Disturbance,
  ): Promise<OperationStatus> {
    const id = await this.#begin(name, request);
    this.#note(`  ${id} ${JSON.stringify(request)}`);
    const over = Promise.withResolvers<void>();
    const begun = { id, from: this.#cluster.front.asked.length, over: over.promise };
    const rival = async (): Promise<Ended> => {
      const status = await this.#end(await this.#begin('cleanup', RETENTION));
      this.#judge(status, false);
      return { ...endOf(status), listedBefore };
    };
    const striking = faults.map((fault) => this.#strike(fault, begun, () => ended.push(rival())));
    await this.#end(id);
    over.resolve();
    await Promise.all(striking);
    // Begun anew, perhaps.
    const status = await this.#end(id);
    this.#judge(
      status,
      faults.some(({ kind }) => kind === 'cancel' || kind === 'terminate'),
    );
    return status;
  }

  /** Whether an operation ended as one may that was disturbed. */
  #judge({ id, kind, state, error }: OperationStatus, mayBeCancelled: boolean): void {
    const how = error?.code ?? state;
    this.#count(this.report.ends, `${kind} ${how}`);
    this.#note(`  ${this.#time()} ${id}: ${how}${error ? `: ${error.message.slice(0, 300)}` : ''}`);
    const honest =
      state === 'succeeded' ||
      HONEST.includes(how) ||
      (this.#ranFull && FULL.includes(how)) ||
      (mayBeCancelled && state === 'cancelled');
    if (!honest) this.#violations([`${id} ended as ${how}: ${error?.message}`]);
  }

  /** Waits for the fault's moment, and breaks what it breaks, while the request of that moment waits. */
  async #strike(fault: Fault, begun: Begun, rival: () => void): Promise<void> {
    const { front } = this.#cluster;
    let met = false;
    const hold = front.hold(() => {
      const now = !met && front.asked.length - begun.from >= fault.after;
      met ||= now;
      return now;
    });
    try {
      const at = await Promise.race([hold.met, begun.over]);
      if (!at && fault.target === 'operation') return;
      const resource = resourceOf(fault);
      if (this.#broken.has(resource) || (fault.kind === 'full' && !this.#disks.there)) return;
      const mended = this.#breaks(resource);
      this.#count(this.report.faults, fault.kind);
      const when = at ? `request ${fault.after}, ${at.verb} ${at.key} of ${at.from}` : 'the end';
      this.#note(`    ${this.#time()} ${fault.kind} ${fault.target} for ${fault.lasts} ms, at ${when}`);
      if (fault.kind === 'rival') rival();
      if (fault.kind === 'full') this.#ranFull = true;
      const mend =
        fault.kind === 'rival' ? undefined : await strikes[fault.kind](this.#cluster, fault, begun.id, this.#disks);
      this.#mendLater(fault, mend, mended);
    } finally {
      hold.letGo();
    }
  }

  /** Notes that it is broken; answers what to call when it is not any more. */
  #breaks(resource: string): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#broken.set(resource, promise);
    return () => {
      this.#broken.delete(resource);
      resolve();
    };
  }

  #mendLater({ kind, target, lasts }: Fault, mend: Mend, done: () => void): void {
    const mending = async (): Promise<void> => {
      if (mend) {
        await pause(lasts);
        await mend();
        this.#note(`    ${this.#time()} ${kind} ${target} is over`);
      }
    };
    mending()
      .catch((error: unknown) => this.#violations([`${target} did not come back: ${error}`]))
      .finally(done);
  }

  async #mendAll(): Promise<void> {
    while (this.#broken.size > 0) await Promise.all(this.#broken.values());
  }

  /** With an id of its own, so that it may be asked again while Temporal is away. */
  async #begin<N extends Ended['kind'] | 'verify'>(name: N, request: Operations[N]['request']): Promise<string> {
    const id = operationId(name, 'east', new Date());
    for (let tries = 100; ; tries--) {
      try {
        await startOperation(
          this.#cluster.client,
          'east',
          name,
          { waitForLock: WAIT_FOR_LOCK, by: 'chaos', ...request },
          id,
        );
        return id;
      } catch (error) {
        if (tries === 0) throw error;
        await pause(500);
      }
    }
  }

  async #end(id: string): Promise<OperationStatus> {
    const timer = new AbortController();
    const hangs = pause(HANGS, undefined, { signal: timer.signal }).then(() => {
      throw new Error(`${id} hangs: it has not ended after ${HANGS / 1000} s`);
    });
    try {
      return await Promise.race([this.#cluster.end(id), hangs]);
    } finally {
      timer.abort();
      hangs.catch(() => undefined);
    }
  }

  async #listed() {
    await this.#broken.get('storage');
    return listed(this.#cluster);
  }

  /** What must succeed when nothing is broken. */
  async #calm<N extends Ended['kind'] | 'verify'>(
    name: N,
    request: Operations[N]['request'],
  ): Promise<OperationStatus> {
    const id = await this.#begin(name, request);
    const status = await this.#end(id);
    if (status.state !== 'succeeded')
      this.#violations([`${id} in peace: ${status.error?.code}: ${status.error?.message}`]);
    return status;
  }

  async #restoreInPeace(): Promise<void> {
    const [backup = ''] = this.#model.complete;
    await this.#calm('restore', { backup, verifyExisting: true });
    await this.#checkRoots(backup);
  }

  /** Nothing is broken: the next operations succeed, all is as the model knows it, and nothing is left over. */
  async #peace(chance: Chance): Promise<void> {
    const present = contentOf(this.#cluster);
    const listedBefore = (await this.#listed()).map(({ name }) => name);
    const { written, stop } = this.#writers.start();
    const ends = [await this.#calm('backup', {}).finally(stop), await this.#calm('cleanup', RETENTION)];
    this.#violations(
      this.#model.agree(
        await this.#listed(),
        ends.map((one) => ({ ...endOf(one), listedBefore, written })),
        present,
      ),
    );
    const { result } = await this.#calm('verify', { readData: { percent: 20 } });
    const { damaged, damagedBackups } = result as VerifyResult;
    if (damaged + damagedBackups > 0) this.#violations([`verify finds damage: ${JSON.stringify(result)}`]);
    const sampled = chance.pick(this.#model.names);
    await this.#extract(sampled, chance.pick([...this.#model.of(sampled).content.keys()]));
    this.#violations(await leftOver(this.#cluster));
    const locked = Object.entries(await this.#cluster.locked());
    this.#violations(locked.map(([what, by]) => `${what} is locked by ${by}`));
    const known = [...COORDINATORS, ...this.#cluster.nodes].map((name) => this.#cluster.process(name).pid);
    this.#violations(strays(this.#cluster, new Set(known)));
  }

  #supervise(): void {
    for (const target of [...COORDINATORS, ...this.#cluster.nodes]) {
      const resource = `process ${target}`;
      const child = this.#cluster.process(target);
      if (!this.#watched.has(child)) void child.exited.then(() => this.#ended.add(child));
      this.#watched.add(child);
      if (this.#broken.has(resource) || !this.#ended.has(child)) continue;
      const mended = this.#breaks(resource);
      const fault: Fault = { kind: 'kill', target, after: 0, lasts: 0 };
      this.report.restarts++;
      const last = this.#cluster.logOf(target).trimEnd().split('\n').at(-1);
      this.#note(`    ${this.#time()} ${target} ended by itself: ${last}`);
      this.#mendLater(fault, () => start(this.#cluster, target), mended);
    }
  }

  #count(counts: Record<string, number>, what: string): void {
    counts[what] = (counts[what] ?? 0) + 1;
  }

  #violations(found: readonly string[]): void {
    for (const what of found) {
      this.#note(`VIOLATION: ${what}`);
      this.report.violations.push({ cycle: this.report.cycles + 1, what });
    }
  }

  #time = (): string => `${((performance.now() - this.#began) / 1000).toFixed(1)} s`;
}
