import { join } from 'node:path';
import { HomarusError } from '../domain/errors.ts';
import type { AttemptId, NodeGrant } from '../domain/operations.ts';
import { readState, writeState } from './stateFile.ts';

interface LeaseState {
  /** Counted up with every grant to another attempt, and never down. */
  grant: number;
  holder: AttemptId | null;
  /** Wall clock, ms: what is left of it counts after a restart of the process, and never more than `ttl`. */
  expires: number;
  ttl: number;
}

/** Time by two clocks: `monotonic` decides while the process lives, `wall` what is left after a restart. */
export interface Clocks {
  monotonic(): number;
  wall(): number;
}

const systemClocks: Clocks = { monotonic: () => performance.now(), wall: () => Date.now() };

/** The part of a lock that was passed on is an older grant: work that bears it is refused, and stopped. */
type Abort = (reason: HomarusError) => void;

interface Work {
  readonly grant: number;
  readonly abort: Abort;
  readonly ended: Promise<void>;
}

/**
 * A node's part of the cluster lock: a lease in its state directory with holder, expiry, and a grant number that the
 * node itself counts up. Work carries its grant; when the lease runs out, or a newer grant is made, the work is stopped
 * and awaited.
 */
export class NodeLease {
  readonly #path: string;
  readonly #node: string;
  readonly #clocks: Clocks;
  #state: LeaseState;
  #deadline: number;
  #timer: NodeJS.Timeout | undefined;
  readonly #working = new Set<Work>();
  /** Called when the lease of an attempt ran out and its work has ended. */
  onRanOut: ((attempt: AttemptId) => void) | undefined;

  constructor(stateDir: string, node: string, clocks: Clocks = systemClocks) {
    this.#path = join(stateDir, 'lease.json');
    this.#node = node;
    this.#clocks = clocks;
    this.#state = readState<LeaseState>(this.#path) ?? { grant: 0, holder: null, expires: 0, ttl: 0 };
    const left = Math.min(Math.max(this.#state.expires - clocks.wall(), 0), this.#state.ttl);
    this.#deadline = clocks.monotonic() + (this.#state.holder ? left : 0);
    this.#watch();
  }

  /**
   * Grants the node to `attempt`; the same attempt gets its own grant again, a later one of the same operation takes over.
   * `LockHeld` names another holder. Work under an older grant is stopped and has ended when this returns.
   */
  async acquire(attempt: AttemptId, ttl: number): Promise<number> {
    const { holder } = this.#state;
    if (holder !== null && this.#fresh() && !supersedes(attempt, holder)) throw this.#heldBy(holder);
    const grant = holder?.run === attempt.run ? this.#state.grant : this.#state.grant + 1;
    this.#renew({ grant, holder: attempt, ttl, expires: 0 });
    await this.#stopWorkBefore(grant);
    return grant;
  }

  /**
   * `released` when its own operation gave the node back. `LockLost` when the lease ran out or another attempt holds the
   * node; never grants anew. A restarted process takes the same lease up again.
   */
  refresh(grant: NodeGrant): 'refreshed' | 'released' {
    if (this.#state.holder === null && this.#state.grant === grant.grant) return 'released';
    this.check(grant);
    this.#renew({ ...this.#state });
    return 'refreshed';
  }

  /** `LockLost` unless the lease is held by this very grant, and fresh. Asked before every destructive step. */
  check(grant: NodeGrant): void {
    const { holder } = this.#state;
    if (holder?.run !== grant.attempt.run || this.#state.grant !== grant.grant) {
      const whose = holder ? `${holder.kind} ${holder.operation} holds it now` : 'nobody holds it now';
      throw new HomarusError('LockLost', `node ${this.#node}: grant ${grant.grant} is not valid any more; ${whose}`);
    }
    if (!this.#fresh()) throw this.#ranOut();
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
  async run<T>(grant: NodeGrant, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.check(grant);
    const controller = new AbortController();
    const running = work(controller.signal);
    const entry: Work = {
      grant: grant.grant,
      abort: (reason) => controller.abort(reason),
      ended: running.then(
        () => undefined,
        () => undefined,
      ),
    };
    this.#working.add(entry);
    try {
      return await running;
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

  #fresh(): boolean {
    return this.#clocks.monotonic() < this.#deadline;
  }

  #renew(state: LeaseState): void {
    this.#state = { ...state, expires: this.#clocks.wall() + state.ttl };
    // On disk before it counts: after a restart nobody may think the node free who was told that it is held.
    writeState(this.#path, this.#state);
    this.#deadline = this.#clocks.monotonic() + state.ttl;
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
