import { HandlerUnfinishedPolicy } from '@temporalio/common';
import {
  type ApplicationFailure,
  CancellationScope,
  condition,
  defineQuery,
  defineUpdate,
  isCancellation,
  log,
  setCurrentDetails,
  setHandler,
  sleep,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { OperationKind } from '../domain/documents.ts';
import { errorTable } from '../domain/errors.ts';
import { isTold } from '../domain/notices.ts';
import type { AttemptId, ClusterSettings, OperationProgress, Phase } from '../domain/operations.ts';
import { faultOf, type RequestKind } from '../domain/requestShapes.ts';
import type { OperationRequest } from '../domain/requests.ts';
import type { OperationEnd, Skipped } from '../domain/results.ts';
import { searchAttributes } from '../domain/searchAttributes.ts';
import type { Locked, LockPlan } from './clusterLock.ts';
import { withClusterLock } from './clusterLock.ts';
import { counting } from './counting.ts';
import type { Did } from './details.ts';
import { Details } from './details.ts';
import { codeOf, failure, messageOf, unwrap } from './failures.ts';
import { fanOut } from './fanOut.ts';
import { tell } from './tell.ts';
import { pauseBefore } from './timeouts.ts';

export const progressQuery = defineQuery<OperationProgress>('progress');

/** Answers when the operation holds its lock. One that is refused ends meanwhile, and its end says why. */
export const lockedUpdate = defineUpdate<void>('locked');

/** How often a held lock is asked for again, ms. */
const ASK_AGAIN = 5_000;

/** One run of an operation: its progress, its attempts. */
export class Operation {
  readonly kind: OperationKind;
  readonly #request: OperationRequest;
  /** What is wrong with what it was started with. */
  readonly #fault: string | undefined;
  readonly #progress: OperationProgress;
  #settings: ClusterSettings | undefined;
  /** Of the present phase, ms since the epoch. */
  #since = Date.now();
  /** Until when a lock that somebody holds is waited for: from when it is first wanted, ms since the epoch. */
  #deadline = 0;
  /** It was, at least once. */
  #wasLocked = false;
  readonly #details = new Details();

  /** `defaults`: for what the request leaves open. */
  constructor(kind: RequestKind, cluster: string, request: OperationRequest, defaults: OperationRequest = {}) {
    this.kind = kind;
    this.#fault = faultOf(kind, cluster, request);
    // Nothing that is wrong is believed, not even in telling that it is.
    this.#request = this.#fault === undefined ? { ...defaults, ...request } : {};
    const named = typeof cluster === 'string' ? cluster : '';
    this.#progress = { kind, phase: 'starting', attempt: 1, attempts: 1, cluster: named, done: [], nodes: [] };
    setHandler(progressQuery, () => this.#progress);
    const { ABANDON } = HandlerUnfinishedPolicy;
    setHandler(lockedUpdate, () => condition(() => this.#wasLocked), { unfinishedPolicy: ABANDON });
    CancellationScope.current().cancelRequested.catch(() => {
      this.#details.cancelling = true;
      this.#tell();
    });
  }

  /** Who asked, for people. */
  get by(): string {
    return this.#request.by ?? 'somebody';
  }

  /** `todo`: what each node has to do in it, for people. */
  enter(phase: Phase, nodes: readonly string[] = [], todo?: (node: string) => string): void {
    const now = Date.now();
    const former = this.#progress.phase;
    if (former === 'waiting for the lock') counting.waited(this.#labels, now - this.#since);
    if (former !== phase) counting.phase(this.#labels, former, now - this.#since);
    this.#since = now;
    Object.assign(this.#progress, { phase, done: [], nodes: [...nodes] });
    delete this.#progress.step;
    this.#details.enter(phase, now, todo);
    this.#tell();
  }

  /** `step`: type of the plugin's activity. */
  atPlugin(step: string, nodes: readonly string[] = []): void {
    this.enter('plugin', nodes);
    this.#progress.step = step;
    this.#tell();
  }

  names(backup: string): void {
    this.#progress.backup = backup;
  }

  /** Nodes that it does without, for who looks at it. */
  goesWithout(nodes: readonly string[]): void {
    if (nodes.length > 0) this.#progress.missing = [...nodes];
    else delete this.#progress.missing;
  }

  get attempt(): number {
    return this.#progress.attempt;
  }

  /**
   * Runs `work` for every node at once, and counts those that are done with the phase. For people: what each has to do, which
   * `work` is handed, too, and what its answer says that it did.
   */
  eachNode<N extends string, T>(
    phase: Phase,
    nodes: readonly N[],
    work: (node: N, todo: string) => Promise<T>,
    { todo = () => '', did }: { todo?: (node: string) => string; did?: (answer: T) => Did | undefined } = {},
  ): Promise<T[]> {
    this.enter(phase, nodes, todo);
    return this.onEach(nodes, async (node) => {
      const answer = await work(node, todo(node));
      const what = did?.(answer);
      if (what !== undefined) this.#details.did(node, what, Date.now());
      return answer;
    });
  }

  /** The same within the phase that was entered. */
  onEach<N extends string, T>(nodes: readonly N[], work: (node: N) => Promise<T>): Promise<T[]> {
    return fanOut(
      nodes.map((node) => async () => {
        const answer = await work(node);
        this.#progress.done.push(node);
        this.#tell();
        return answer;
      }),
    );
  }

  /** The whole of the operation, unless it was started with what is no request: how it ended is counted, found and told, and a lock that is held may be no failure. */
  async ends<T>(body: () => Promise<T>): Promise<T | Skipped> {
    try {
      if (this.#fault !== undefined) throw failure('BadInput', `input of ${this.kind}: ${this.#fault}`);
      const answer = await body();
      await this.#ended('succeeded', undefined);
      return answer;
    } catch (error) {
      const reason = unwrap(error);
      if (this.#request.skipIfLocked && codeOf(reason) === 'LockHeld') {
        await this.#ended('skipped', reason);
        return { skipped: messageOf(reason) };
      }
      await this.#ended(isCancellation(reason) ? 'cancelled' : 'failed', reason);
      throw reason;
    }
  }

  async #ended(end: OperationEnd, reason: unknown): Promise<void> {
    this.enter('done');
    counting.ended(this.#labels, end, Date.now() - workflowInfo().startTime.getTime());
    if (codeOf(reason) === 'LockLost') counting.lockLost(this.#labels);
    const { backup } = this.#progress;
    if (isSearchable()) {
      upsertSearchAttributes([
        { key: searchAttributes.result, value: end },
        ...(backup === undefined ? [] : [{ key: searchAttributes.backup, value: backup }]),
      ]);
    }
    if (!isTold(this.kind)) return;
    const { workflowId } = workflowInfo();
    const operation = { id: workflowId, kind: this.kind, by: this.by, ...(backup === undefined ? {} : { backup }) };
    await uncancelled(() =>
      tell(this.#progress.cluster, this.#settings, this.#request.storage, { event: end, operation, reason }),
    );
  }

  get #labels() {
    return { cluster: this.#progress.cluster, operation: this.kind };
  }

  /**
   * Attempts until one succeeds, each under a lock of its own; all that an attempt knows comes from that lock. Errors
   * for which a new attempt can do nothing end the operation (`errors.ts`, retry).
   */
  async attempts<T>(plan: (attempt: AttemptId) => LockPlan, body: (locked: Locked) => Promise<T>): Promise<T> {
    this.#deadline = Date.now() + (this.#request.waitForLock ?? 0);
    for (;;) {
      try {
        return await this.#locked(plan, body);
      } catch (error) {
        const reason = unwrap(error);
        const code = codeOf(reason);
        if (isCancellation(reason) || errorTable[code].retry === 'never') throw reason;
        if (this.#progress.attempt >= this.#progress.attempts) throw this.#gaveUp(reason);
        log.warn(`attempt ${this.#progress.attempt} failed: ${messageOf(reason)}`, { code });
        this.#progress.lastFailure = `${code}: ${messageOf(reason)}`;
        this.enter('between attempts');
        this.#progress.attempt++;
        await sleep(pauseBefore(this.#progress.attempt), { summary: 'before the next attempt' });
      }
    }
  }

  async #locked<T>(plan: (attempt: AttemptId) => LockPlan, body: (locked: Locked) => Promise<T>): Promise<T> {
    for (;;) {
      this.enter('locking');
      try {
        return await withClusterLock(plan(this.#attemptId()), async (locked) => {
          this.#wasLocked = true;
          this.knows(locked.settings);
          const answer = await body(locked);
          this.enter('unlocking');
          return answer;
        });
      } catch (error) {
        if (codeOf(error) !== 'LockHeld' || Date.now() + ASK_AGAIN > this.#deadline) throw error;
        this.#progress.lastFailure = messageOf(error);
        this.enter('waiting for the lock');
        await sleep(ASK_AGAIN, { summary: 'until the lock is asked for again' });
      }
    }
  }

  /** Once they are known: with the lock, or from a plan. */
  knows(settings: ClusterSettings): void {
    this.#settings = settings;
    this.#progress.attempts = this.kind === 'backup' ? settings.attempts : 1;
  }

  #attemptId(): AttemptId {
    const { workflowId, runId } = workflowInfo();
    return {
      operation: workflowId,
      run: `${runId}/${this.#progress.attempt}`,
      kind: this.kind,
      by: this.by,
      since: new Date().toISOString(),
    };
  }

  #gaveUp(reason: unknown): unknown {
    if (this.#progress.attempts === 1) return reason;
    const hint = (reason as ApplicationFailure).details?.[0] as { hint?: string } | undefined;
    const text = `${messageOf(reason)} (attempt ${this.#progress.attempt} of ${this.#progress.attempts})`;
    return failure(codeOf(reason), text, undefined, hint?.hint);
  }

  #tell(): void {
    setCurrentDetails(this.#details.markdown(this.#progress));
  }
}

/** A server that does not know our search attributes would not let them be set; whoever started this found out. */
const isSearchable = (): boolean => workflowInfo().typedSearchAttributes.get(searchAttributes.cluster) !== undefined;

/** Work that must not be cut short by a cancellation, such as a commit whose answer decides what the operation was. */
export const uncancelled = <T>(work: () => Promise<T>): Promise<T> => CancellationScope.nonCancellable(work);
