import { CancellationScope, CancelledFailure, isCancellation, log, uuid4 } from '@temporalio/workflow';
import type { NodeInfo } from '../domain/cluster.ts';
import type { AttemptId, ClusterSettings, NodeGrant, PluginVersion, StorageGrant } from '../domain/operations.ts';
import { control, coordinatorSteps, storageKeeper, storageRelease } from './activityProxies.ts';
import { codeOf, failure, messageOf, timeoutOf, unwrap } from './failures.ts';
import { fanOut } from './fanOut.ts';

/** Nodes that are asked for their part at one time: each must be reached within `NODE_ANSWERS_WITHIN`, however many there are. */
const ASKED_AT_ONCE = 50;

/** What an attempt holds while it works. */
export interface Locked {
  readonly attempt: AttemptId;
  readonly settings: ClusterSettings;
  /** Undefined when only nodes are locked. */
  readonly storage: StorageGrant | undefined;
  /** Without those that may be missing and did not answer. */
  readonly nodes: readonly NodeGrant[];
}

export interface LockPlan {
  readonly attempt: AttemptId;
  /** Undefined: the default storage. */
  readonly storageName: string | undefined;
  /** Known beforehand by a restore; otherwise they come with the storage's part of the lock. */
  readonly settings?: ClusterSettings;
  readonly lockStorage: boolean;
  /** Which nodes of the cluster are locked. */
  readonly nodes: (settings: ClusterSettings) => readonly NodeInfo[];
  /** How many of them may be left out because they do not take their part; none where it is missing. */
  readonly allowMissing?: (settings: ClusterSettings) => number;
  /** What the work needs on each node, which refuses its part of the lock when it has another; any will do without it. */
  readonly plugin?: (settings: ClusterSettings) => PluginVersion | null;
  /** The committed backup, for the nodes' retained state; its commit freed the storage, too. Asked at the release. */
  readonly committed?: () => { repository: string; backup: string } | undefined;
}

/**
 * Holds the cluster lock for the length of `body`: the storage's part and each node's part is acquired, kept by a
 * heartbeating activity, and released when `body` has really stopped. If a keeper fails, the work is cancelled and the
 * operation ends as `LockLost`. A refused lock is released as far as it was granted, and nothing was done.
 */
export async function withClusterLock<T>(plan: LockPlan, body: (locked: Locked) => Promise<T>): Promise<T> {
  const held = new Held(plan);
  try {
    const locked = await held.acquire();
    const answer = await held.work.run(() => body(locked));
    await CancellationScope.nonCancellable(() => held.release());
    return answer;
  } catch (error) {
    await CancellationScope.nonCancellable(async () => {
      await held.endKeepers();
      await held.release();
    });
    throw held.explain(error);
  }
}

class Held {
  readonly #plan: LockPlan;
  /** Sees the workflow's cancellation, and ours when a keeper fails. */
  readonly work = new CancellationScope();
  /** Does not: the lock is kept until the work has stopped. */
  readonly #keepers: CancellationScope;
  readonly #keeping: Promise<unknown>[] = [];
  #lost: { error: unknown; what: string } | undefined;
  #settings: ClusterSettings | undefined;
  #storage: StorageGrant | undefined;
  readonly #nodes = new Map<string, NodeGrant>();
  #storageAsked = false;
  #released = false;
  readonly #nodesAsked = new Set<string>();
  #missing = 0;

  constructor(plan: LockPlan) {
    this.#plan = plan;
    const shield = new CancellationScope({ cancellable: false });
    this.#keepers = new CancellationScope({ cancellable: true, parent: shield });
  }

  async acquire(): Promise<Locked> {
    const { attempt, lockStorage, storageName } = this.#plan;
    let settings = this.#plan.settings;
    if (lockStorage) {
      this.#storageAsked = true;
      const granted = await coordinatorSteps.acquireStorage({ attempt, storage: storageName, nonce: uuid4() });
      settings = granted.settings;
      this.#storage = granted.grant;
      this.#settings = settings;
      this.#keep('the storage', () => storageKeeper(granted.settings.lock).keepStorage(granted.grant));
    }
    if (settings === undefined) throw failure('Internal', 'a lock without storage needs the settings of the cluster');
    this.#settings = settings;
    const wanted = this.#plan.nodes(settings);
    const spare = Math.min(this.#plan.allowMissing?.(settings) ?? 0, wanted.length - 1);
    const others = [...wanted];
    // One node first, alone: two operations never each hold half of the cluster.
    while (others.length > 0 && this.#nodes.size === 0) {
      const first = others.shift()!;
      await this.work.run(() => this.#takeNode(settings, first, spare));
    }
    const jobs = others.map((node) => () => this.#takeNode(settings, node, spare));
    await this.work.run(() => fanOut(jobs, { atOnce: ASKED_AT_ONCE }));
    // In the order of the configuration, whoever answered first.
    const nodes = wanted.map(({ id }) => this.#nodes.get(id)).filter((grant) => grant !== undefined);
    return { attempt, settings, storage: this.#storage, nodes };
  }

  /** A node that is not there is left out as long as `spare` are enough. */
  async #takeNode(settings: ClusterSettings, node: NodeInfo, spare: number): Promise<void> {
    try {
      await this.#acquireNode(settings, node);
    } catch (error) {
      if (codeOf(error) !== 'NodeUnavailable' || this.#missing >= spare) throw error;
      this.#missing++;
      log.warn(`${messageOf(error)}; it is left out`);
    }
  }

  async #acquireNode(settings: ClusterSettings, node: NodeInfo): Promise<void> {
    this.#nodesAsked.add(node.id);
    try {
      const grant = await control(settings.cluster, node.id, 'acquire', settings.lock).acquireNode({
        attempt: this.#plan.attempt,
        ttl: settings.lock.ttl,
        plugin: this.#plan.plugin?.(settings) ?? null,
      });
      this.#nodes.set(node.id, grant);
      this.#keep(`node ${node.id}`, () => control(settings.cluster, node.id, 'keep', settings.lock).keepNode(grant));
    } catch (error) {
      const timeout = timeoutOf(error);
      if (timeout) {
        // Nobody was asked, so there is nothing to release.
        if (timeout.timeoutType === 'SCHEDULE_TO_START') this.#nodesAsked.delete(node.id);
        throw failure(
          'NodeUnavailable',
          `node ${node.id} does not answer: no worker takes its part of the lock`,
          error,
        );
      }
      throw error;
    }
  }

  #keep(what: string, keep: () => Promise<unknown>): void {
    const keeping = this.#keepers.run(keep).catch((error: unknown) => {
      // What is freed need not be kept.
      if (this.#released || this.#keepers.consideredCancelled) return;
      this.#lost ??= { error, what };
      this.work.cancel();
    });
    this.#keeping.push(keeping);
  }

  explain(error: unknown): unknown {
    if (this.#lost === undefined) {
      // Who was to confirm the cancellation has died: nobody tries again what is cancelled.
      return timeoutOf(error) && CancellationScope.current().consideredCancelled
        ? new CancelledFailure('cancelled; not everybody confirmed', [], error as Error)
        : unwrap(error);
    }
    const { error: cause, what } = this.#lost;
    const reason = timeoutOf(cause) ? 'its worker does not answer any more' : messageOf(unwrap(cause));
    const cluster = this.#settings?.cluster ?? '';
    return failure('LockLost', `the lock of cluster ${cluster} was lost at ${what}: ${reason}`, cause);
  }

  /** Before another attempt. After a success they end with the workflow, which saves its history a dozen events. */
  async endKeepers(): Promise<void> {
    this.#keepers.cancel();
    await Promise.all(this.#keeping);
  }

  /**
   * Frees every part that was asked for, nodes first: they confirm that they stopped. Under the name that it was granted
   * to: after a reset that is the run that was reset.
   */
  async release(): Promise<void> {
    this.#released = true;
    const settings = this.#settings;
    if (settings !== undefined) {
      const { attempt, committed } = this.#plan;
      await Promise.all(
        [...this.#nodesAsked].map((node) =>
          control(settings.cluster, node, 'release', settings.lock)
            .releaseNode({ attempt: this.#nodes.get(node)?.attempt ?? attempt, committed: committed?.() ?? null })
            .catch((error: unknown) => this.#notReleased(`node ${node}`, error)),
        ),
      );
    }
    if (this.#storageAsked && this.#plan.committed?.() === undefined) {
      const release = settings ? storageRelease(settings.lock) : coordinatorSteps;
      await release
        .releaseStorage({
          attempt: this.#storage?.attempt ?? this.#plan.attempt,
          storage: this.#plan.storageName,
          epoch: this.#storage?.epoch ?? null,
          nonce: uuid4(),
        })
        .catch((error: unknown) => this.#notReleased('the storage', error));
    }
  }

  /** Its lease has run out or will: the operation need not hang on it. */
  #notReleased(what: string, error: unknown): void {
    if (!isCancellation(error)) log.warn(`${what} was not released; it frees itself: ${messageOf(unwrap(error))}`);
  }
}
