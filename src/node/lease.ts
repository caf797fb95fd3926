import { join } from 'node:path';
import { HomarusError, hasCode } from '../domain/errors.ts';
import type { AttemptId, NodeGrant } from '../domain/operations.ts';
import { count, number, orNull, record, text } from '../domain/shape.ts';
import { readState, writeState } from './stateFile.ts';
import { monotonic, StopFlag } from './threads.ts';

interface LeaseState {
  /** Counted up with every grant to another attempt, and never down. */
  grant: number;
  holder: AttemptId | null;
  /** Wall clock, ms: what is left of it counts after a restart of the process, and never more than `ttl`. */
  expires: number;
  ttl: number;
}

const attempt = record({ operation: text, run: text, kind: text, by: text, since: text });
const leaseState = record({ grant: count, holder: orNull(attempt), expires: number, ttl: number });

/** Time by two clocks: `monotonic` decides while the process lives, `wall` what is left after a restart. */
export interface Clocks {
  monotonic(): number;
  wall(): number;
}

const systemClocks: Clocks = { monotonic, wall: () => Date.now() };

/** The part of a lock that was passed on is an older grant: work that bears it is refused, and stopped. */
type Abort = (reason: HomarusError) => void;

interface Work {
  readonly grant: number;
  readonly flag: StopFlag;
  readonly abort: Abort;
  readonly ended: Promise<void>;
}

/** What work under a grant is given: a signal that aborts when the grant ends, and a flag that threads look at. */
export interface UnderGrant {
  readonly signal: AbortSignal;
  readonly flag: StopFlag;
}

export interface LeaseOptions {
  clocks?: Clocks;
  /** Told when work is stopped because the lease was lost. */
  onLost?: (reason: HomarusError) => void;
}

/**
 * A node's part of the cluster lock: a lease in its state directory with holder, expiry, and a grant number that the
 * node itself counts up. Work carries its grant; when the lease runs out, or a newer grant is made, the work is stopped
 * and awaited. All time is counted from before it was looked at: a process may be stopped between any two lines.
 */
export class NodeLease {
  readonly #path: string;
  readonly #node: string;
  readonly #clocks: Clocks;
  readonly #onLost: (reason: HomarusError) => void;
  #state: LeaseState;
  #deadline: number;
  #timer: NodeJS.Timeout | undefined;
  readonly #working = new Set<Work>();
  /** Called when the lease of an attempt ran out and its work has ended. */
  onRanOut: ((attempt: AttemptId) => void) | undefined;

  constructor(stateDir: string, node: string, { clocks = systemClocks, onLost }: LeaseOptions = {}) {
    this.#onLost = onLost ?? (() => undefined);
    this.#path = join(stateDir, 'lease.json');
    this.#node = node;
    this.#clocks = clocks;
    this.#state = readState<LeaseState>(this.#path, leaseState) ?? { grant: 0, holder: null, expires: 0, ttl: 0 };
    const now = clocks.monotonic();
    const left = Math.min(Math.max(this.#state.expires - clocks.wall(), 0), this.#state.ttl);
    this.#deadline = now + (this.#state.holder ? left : 0);
    this.#watch();
  }

  /**
   * Grants the node to `attempt`; the same attempt gets its own grant again, a later one of the same operation takes over.
   * `LockHeld` names another holder. Work under an older grant is stopped and has ended when this returns.
   */
  async acquire(attempt: AttemptId, ttl: number): Promise<number> {
    const now = this.#clocks.monotonic();
    const { holder } = this.#state;
    if (holder !== null && this.#fresh(now) && !supersedes(attempt, holder)) throw this.#heldBy(holder);
    const grant = holder?.run === attempt.run ? this.#state.grant : this.#state.grant + 1;
    this.#renew({ grant, holder: attempt, ttl, expires: 0 }, now);
    await this.#stopWorkBefore(grant);
    return grant;
  }

  /**
   * `released` when its own operation gave the node back. `LockLost` when the lease ran out or another attempt holds the
   * node; never grants anew. A restarted process takes the same lease up again.
   */
  refresh(grant: NodeGrant): 'refreshed' | 'released' {
    if (this.#state.holder === null && this.#state.grant === grant.grant) return 'released';
    const now = this.#clocks.monotonic();
    this.check(grant, now);
    this.#renew({ ...this.#state }, now);
    return 'refreshed';
  }

  /** `LockLost` unless the lease is held by this very grant, and fresh. Asked before every destructive step. */
  check(grant: NodeGrant, now = this.#clocks.monotonic()): void {
    const { holder } = this.#state;
    if (holder?.run !== grant.attempt.run || this.#state.grant !== grant.grant) {
      const whose = holder ? `${holder.kind} ${holder.operation} holds it now` : 'nobody holds it now';
      throw new HomarusError('LockLost', `node ${this.#node}: grant ${grant.grant} is not valid any more; ${whose}`);
    }
    if (!this.#fresh(now)) throw this.#ranOut();
  }

  /** Stops what still works under this attempt, and awaits its end. */
  async stopWork(attempt: AttemptId): Promise<void> {
    if (this.#state.holder?.run === attempt.run) await this.#stopWorkBefore(Number.POSITIVE_INFINITY);
  }

  /** Ends the lease of this attempt; whose lease it is not changes nothing. Answers false then. */
  async release(attempt: AttemptId): Promise<boolean> {
    if (this.#state.holder?.run !== attempt.run) return false;
    await this.stopWork(attempt);
    this.#state = { ...this.#state, holder: null, expires: 0 };
    writeState(this.#path, this.#state);
    this.#watch();
    return true;
  }

  /** Runs `work` under the grant; its signal aborts with `LockLost` when the grant ends. */
  async run<T>(grant: NodeGrant, work: (under: UnderGrant) => Promise<T>): Promise<T> {
    this.check(grant);
    const controller = new AbortController();
    const flag = new StopFlag();
    flag.lostAt(this.#deadline);
    const running = work({ signal: controller.signal, flag });
    const entry: Work = {
      grant: grant.grant,
      flag,
      abort: (reason) => controller.abort(reason),
      ended: running.then(
        () => undefined,
        () => undefined,
      ),
    };
    this.#working.add(entry);
    try {
      return await running;
    } catch (error) {
      // A thread may have seen it before our timer did.
      const ranOut = hasCode(error, 'LockLost') && !this.#fresh() ? this.#ranOut() : error;
      const reason = controller.signal.aborted ? controller.signal.reason : ranOut;
      if (hasCode(reason, 'LockLost')) this.#onLost(reason);
      throw reason;
    } finally {
      this.#working.delete(entry);
    }
  }

  get holder(): AttemptId | null {
    return this.#fresh() ? this.#state.holder : null;
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #fresh(now = this.#clocks.monotonic()): boolean {
    return now < this.#deadline;
  }

  #renew(state: LeaseState, now: number): void {
    this.#state = { ...state, expires: this.#clocks.wall() + state.ttl };
    // On disk before it counts: after a restart nobody may think the node free who was told that it is held.
    writeState(this.#path, this.#state);
    this.#deadline = now + state.ttl;
    // Work under an older grant gets no more time.
    for (const work of this.#working) if (work.grant === state.grant) work.flag.lostAt(this.#deadline);
    this.#watch();
  }

  #watch(): void {
    clearTimeout(this.#timer);
    if (this.#state.holder === null) return;
    const left = Math.max(this.#deadline - this.#clocks.monotonic(), 0);
    this.#timer = setTimeout(() => {
      if (this.#fresh()) this.#watch();
      else void this.#end();
    }, left);
    this.#timer.unref();
  }

  async #end(): Promise<void> {
    const { holder } = this.#state;
    for (const work of this.#working) work.abort(this.#ranOut());
    await Promise.all([...this.#working].map((work) => work.ended));
    if (holder !== null) this.onRanOut?.(holder);
  }

  async #stopWorkBefore(grant: number): Promise<void> {
    const older = [...this.#working].filter((work) => work.grant < grant);
    for (const work of older) {
      work.abort(new HomarusError('LockLost', `node ${this.#node} was granted to a newer attempt, or released`));
    }
    await Promise.all(older.map((work) => work.ended));
  }

  #ranOut(): HomarusError {
    return new HomarusError(
      'LockLost',
      `node ${this.#node}: its lease was not refreshed for ${this.#state.ttl / 1000} s`,
    );
  }

  #heldBy(holder: AttemptId): HomarusError {
    const by = holder.by ? ` by ${holder.by}` : '';
    return new HomarusError(
      'LockHeld',
      `node ${this.#node} is locked by ${holder.kind} ${holder.operation} since ${holder.since}${by}`,
    );
  }
}

/** Attempts of one operation follow each other; a late request of an earlier one changes nothing. */
const supersedes = (attempt: AttemptId, holder: AttemptId): boolean =>
  attempt.operation === holder.operation && attempt.since >= holder.since;
