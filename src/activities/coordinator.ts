import { randomInt } from 'node:crypto';
import { isAbsolute } from 'node:path';
import { HomarusError, hasCode } from '../domain/errors.ts';
import type { Notice } from '../domain/notices.ts';
import { wants } from '../domain/notices.ts';
import type {
  AttemptId,
  ClusterSettings,
  DrillPace,
  DrillPlan,
  EstimatePlan,
  PlanReceipt,
  RestorePlan,
  SnapshotReceipt,
  StagedList,
  StorageGrant,
  VerifyPlan,
} from '../domain/operations.ts';
import type { CleanupRequest, DrillRequest, RestoreRequest, VerifyRequest } from '../domain/requests.ts';
import type { BackupResult, CleanupResult, DrillRecord, VerifyResult } from '../domain/results.ts';
import { compileSelection } from '../node/select.ts';
import type { BackupCommit } from '../storage/commitBackup.ts';
import { commitBackup } from '../storage/commitBackup.ts';
import { acquireLock, refreshLock, releaseLock } from '../storage/lock.ts';
import { drillPace, noteDrill } from '../storage/marks.ts';
import { noteDamage } from '../storage/noteDamage.ts';
import { planBackup } from '../storage/planBackup.ts';
import { planDrill, planRestore } from '../storage/planRestore.ts';
import type { Repository } from '../storage/repository.ts';
import type { RootAt } from '../storage/roots.ts';
import { presentRoot } from '../storage/roots.ts';
import type { SeenRoots } from '../storage/seen.ts';
import { removeStaging } from '../storage/sweep.ts';
import type { VerifyInput } from '../storage/verify.ts';
import { verifyStored } from '../storage/verify.ts';
import { rootToVerify } from '../storage/verifyObjects.ts';
import type { Log } from '../telemetry.ts';
import { atTheDoor } from './inputs.ts';
import type { JobRun, Liveness } from './liveness.ts';
import { watched } from './liveness.ts';
import { pause, toldToEnd } from './pause.ts';
import type { NoticeWay } from './sendNotice.ts';
import { sendNotice } from './sendNotice.ts';

export interface CoordinatorDeps {
  /** Of one storage; the default one without a name. `BadInput` names the storages that exist. */
  settings(storage: string | undefined): ClusterSettings;
  /** A cleanup, in a thread of its own. */
  cleanUp(input: { grant: StorageGrant; nonce: string; request: CleanupRequest }, run: JobRun): Promise<CleanupResult>;
  /** The repository in a storage; `ForeignRepository` when it is another cluster's, unless `anyCluster`. */
  repository(storage: string, options: { anyCluster?: boolean; id?: string; signal: AbortSignal }): Promise<Repository>;
  liveness: Liveness;
  seen: SeenRoots;
  /** For temporary files and caches. */
  directory: string;
  /** Where drills make their scratch directories, unless they are told. */
  drillDirectory: string;
  notifications: readonly NoticeWay[];
  log: Log;
}

/** In heartbeats, where a node's name is. */
const COORDINATOR = 'coordinator';

export type CoordinatorActivities = ReturnType<typeof createCoordinatorActivities>;

/** What runs on the coordinators' queue: the storage's part of the lock, and everything that sees the whole cluster. */
export function createCoordinatorActivities(deps: CoordinatorDeps) {
  const alive = <T>(body: (signal: AbortSignal) => Promise<T>): Promise<T> => deps.liveness.run(() => ({}), body);
  /** Open, and not put back to an older state. */
  const opened = async (
    storage: string,
    signal: AbortSignal,
    options: { anyCluster?: boolean; id?: string } = {},
  ): Promise<{ repository: Repository; at: RootAt }> => {
    const repository = await deps.repository(storage, { ...options, signal });
    const at = await presentRoot(repository, { signal });
    await deps.seen.check(repository, at);
    return { repository, at };
  };
  /** Another coordinator may have granted it by another configuration. */
  const granted = ({ storage, repository: id }: StorageGrant, signal: AbortSignal) => opened(storage, signal, { id });
  /** Remembers the root of an operation that has done its work; what is amiss here is found by the next. */
  const remember = (repository: Repository, at: RootAt): Promise<void> =>
    deps.seen
      .check(repository, at)
      .catch((error: unknown) => deps.log('warn', `the present root is not remembered: ${(error as Error).message}`));

  return atTheDoor({
    /** Takes the storage's part of the lock. `LockHeld` names the holder; asked again by the same attempt, it answers the same. */
    acquireStorage(input: {
      attempt: AttemptId;
      storage: string | undefined;
      nonce: string;
    }): Promise<{ grant: StorageGrant; settings: ClusterSettings }> {
      return alive(async (signal) => {
        const settings = deps.settings(input.storage);
        const { ttl } = settings.lock;
        // Before anything is written to a storage that somebody put back to an older state.
        const { repository, at: present } = await opened(settings.storage, signal);
        const { at, epoch } = await acquireLock(
          repository,
          { ...input.attempt, ttl },
          {
            nonce: input.nonce,
            cluster: settings.cluster,
            present,
            signal,
          },
        );
        await deps.seen.check(repository, at);
        const { attempt } = input;
        const { id } = repository.parameters;
        const grant = { attempt, storage: settings.storage, repository: id, epoch, root: at.root.number, ttl };
        return { grant, settings };
      });
    },

    /**
     * Refreshes the lease until it is told to end, or the lock was released by the commit of its own operation. `LockLost`
     * when another holds the storage, or when it could not refresh for the lock's time.
     */
    keepStorage(grant: StorageGrant): Promise<void> {
      return alive(async (signal) => {
        const { refresh } = deps.settings(grant.storage).lock;
        const holder = { ...grant.attempt, ttl: grant.ttl };
        let repository: Repository | undefined;
        let refusal: unknown;
        for (let deadline = performance.now() + grant.ttl - refresh; ; ) {
          // The store's own patience may be longer than the lock's.
          const left = AbortSignal.timeout(Math.max(Math.ceil(deadline - performance.now()), 1));
          const inTime = AbortSignal.any([signal, left]);
          const asked = performance.now();
          try {
            let present: RootAt | undefined;
            if (repository === undefined) ({ repository, at: present } = await granted(grant, inTime));
            const answer = await refreshLock(repository, grant.epoch, holder, { present, signal: inTime });
            if (answer === 'released') await toldToEnd(signal);
            deadline = asked + grant.ttl - refresh;
            refusal = undefined;
          } catch (error) {
            signal.throwIfAborted();
            if (!left.aborted && !hasCode(error, 'StoreUnreachable', 'StoreForbidden', 'StoreFull')) throw error;
            // The last try is cut short: what it was told before says more.
            if (!left.aborted) refusal = error;
            if (performance.now() >= deadline) throw notRefreshed(grant, refusal ?? error);
            deps.log('warn', `the lease of ${grant.storage} was not refreshed: ${(error as Error).message}`);
          }
          await pause(refresh, signal);
        }
      });
    },

    /** Frees the storage if this attempt still holds it, and drops what the attempt staged. */
    releaseStorage(input: {
      attempt: AttemptId;
      storage: string | undefined;
      epoch: number | null;
      nonce: string;
    }): Promise<void> {
      return alive(async (signal) => {
        const repository = await deps.repository(deps.settings(input.storage).storage, { signal });
        // A restore stages nothing.
        if (input.epoch !== null && input.attempt.kind !== 'restore')
          await removeStaging(repository, input.epoch, input.attempt.operation, { signal });
        const present = await presentRoot(repository, { signal });
        if (present.root.holder?.run !== input.attempt.run) return;
        await releaseLock(repository, present.root.epoch, input.nonce, { present, signal });
      });
    },

    /** Who uploads what; adopts what died backups left. */
    planBackup: (input: { grant: StorageGrant; snapshots: SnapshotReceipt[] }): Promise<PlanReceipt> =>
      alive(async (signal) => {
        const { repository, at } = await granted(input.grant, signal);
        return planBackup(repository, input, { directory: deps.directory, present: at, signal });
      }),

    /** Makes the backup exist, releases the storage in the same root, and drops what the attempt staged. */
    commitBackup: (input: BackupCommit): Promise<{ receipt: BackupResult; id: string; repository: string }> =>
      alive(async (signal) => {
        const { epoch, attempt } = input.grant;
        const { repository, at: present } = await granted(input.grant, signal);
        const { at, ...committed } = await commitBackup(repository, input, {
          directory: deps.directory,
          present,
          signal,
        });
        await remember(repository, at);
        await removeStaging(repository, epoch, attempt.operation, { signal }).catch((error: unknown) => {
          // The backup exists; the next cleanup removes it.
          deps.log('warn', `what ${attempt.operation} staged was not removed: ${(error as Error).message}`);
        });
        return committed;
      }),

    /** For who ends before he learns it with his part of the lock. */
    clusterSettings: async (input: { storage: string | undefined }): Promise<ClusterSettings> =>
      deps.settings(input.storage),

    /** What an estimate starts from; locks nothing. */
    planEstimate: (input: { storage: string | undefined }): Promise<EstimatePlan> =>
      alive(async (signal) => {
        const settings = deps.settings(input.storage);
        const { repository } = await opened(settings.storage, signal);
        return { settings, repository: repository.parameters.id };
      }),

    /** Names of those who want to be told. */
    noticeTargets: async (input: { notice: Notice }): Promise<string[]> =>
      deps.notifications.filter((way) => wants(way, input.notice)).map(({ name }) => name),

    /** Rejects when he was not reached; a name that this coordinator's configuration does not have is left to another. */
    sendNotice: (input: { target: string; notice: Notice }): Promise<void> =>
      alive(async (signal) => {
        const way = deps.notifications.find(({ name }) => name === input.target);
        if (way === undefined)
          throw new HomarusError('NotTold', `notifications.${input.target} is not configured here`);
        await sendNotice(way, input.notice, signal);
      }),

    /** Which backup is restored, and which node takes which; locks nothing. */
    planRestore: (input: { request: RestoreRequest }): Promise<RestorePlan> =>
      alive(async (signal) => {
        checkTarget(input.request);
        const settings = deps.settings(input.request.storage);
        const { repository, at } = await opened(settings.storage, signal, { anyCluster: true });
        return planRestore(repository, at, input.request, settings, { signal });
      }),

    /** Which backup a drill restores, where, and how much of it; locks nothing. */
    planDrill: (input: { request: DrillRequest }): Promise<DrillPlan> =>
      alive(async (signal) => {
        const settings = deps.settings(input.request.storage);
        const { repository, at } = await opened(settings.storage, signal);
        const chosen = { directory: deps.drillDirectory, seed: randomInt(2 ** 31) };
        return planDrill(repository, at, input.request, settings, { ...chosen, signal });
      }),

    /** How fast the last drill was that went well; null when there was none. */
    drillPace: (input: { storage: string; repository: string }): Promise<DrillPace | null> =>
      alive(async (signal) => {
        const repository = await deps.repository(input.storage, { anyCluster: true, id: input.repository, signal });
        return drillPace(repository, { signal });
      }),

    /** Keeps with the backup how its drill went. */
    recordDrill: (input: {
      storage: string;
      repository: string;
      backup: string;
      by: string;
      drill: DrillRecord;
    }): Promise<void> =>
      alive(async (signal) => {
        const repository = await deps.repository(input.storage, { id: input.repository, signal });
        await noteDrill(repository, input.backup, { by: input.by, drill: input.drill, signal });
      }),

    /** What a verify starts from; locks nothing. */
    planVerify: (input: { request: VerifyRequest }): Promise<VerifyPlan> =>
      alive(async (signal) => {
        const settings = deps.settings(input.request.storage);
        const repository = await deps.repository(settings.storage, { signal });
        const at = await rootToVerify(repository, { signal });
        await deps.seen.check(repository, at);
        return { settings, repository: repository.parameters.id, root: at.root.number };
      }),

    /** Verifies all but packs, and says what the damage of all costs. */
    verifyStored: (input: { storage: string; repository: string } & VerifyInput): Promise<VerifyResult> =>
      alive(async (signal) =>
        verifyStored(await deps.repository(input.storage, { id: input.repository, signal }), input, {
          directory: deps.directory,
          signal,
        }),
      ),

    /** Makes the present root call damaged what was found; answers its number. */
    noteDamage: (input: { grant: StorageGrant; nonce: string; report: StagedList }): Promise<number | null> =>
      alive(async (signal) => noteDamage((await granted(input.grant, signal)).repository, input, { signal })),

    /** Retention, or the deletion of named backups, and the deletion of what is then needed by none. */
    cleanUp: (input: { grant: StorageGrant; nonce: string; request: CleanupRequest }): Promise<CleanupResult> =>
      watched(deps.liveness, COORDINATOR, async (run) => {
        const result = await deps.cleanUp(input, run);
        // The root that it left is remembered.
        await granted(input.grant, run.signal);
        return result;
      }),
  });
}

/** What a node would refuse is refused before anything is locked. */
function checkTarget({ to, paths = [] }: RestoreRequest): void {
  if (to !== undefined && !isAbsolute(to)) {
    throw new HomarusError('BadInput', `to: "${to}" means another directory on each machine; give an absolute path`);
  }
  compileSelection({ include: paths, exclude: [] });
}

function notRefreshed(grant: StorageGrant, cause: unknown): HomarusError {
  const seconds = Math.round(grant.ttl / 1000);
  const { name, message } = cause as Error;
  return new HomarusError(
    'LockLost',
    `the lease of storage ${grant.storage} could not be refreshed for ${seconds} s: ${name === 'TimeoutError' ? 'it does not answer' : message}`,
    { cause },
  );
}
