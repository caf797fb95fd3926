import type { BackupEntry } from '../domain/documents.ts';
import { HomarusError } from '../domain/errors.ts';
import type {
  DrillReceipt,
  DrillSample,
  NodeGrant,
  PacksReceipt,
  RestoreReceipt,
  SnapshotReceipt,
  StagedList,
  StorageGrant,
  UploadReceipt,
} from '../domain/operations.ts';
import type { NodeEstimate, RestoreForecast } from '../domain/results.ts';
import type { NodeLease } from '../node/lease.ts';
import type { VerifyPacksInput } from '../node/verifyPacks.ts';
import { atTheDoor } from './inputs.ts';
import type { JobRun, Liveness } from './liveness.ts';
import { watched as watchedBy } from './liveness.ts';
import type { NodePlugin } from './plugin.ts';

/** What the jobs of a node do, whoever asks; `workers/node.ts` makes them from the configuration. */
export interface NodeJobs {
  snapshot(work: { storage: StorageGrant }, run: JobRun): Promise<SnapshotReceipt>;
  estimate(work: EstimateWork, run: JobRun): Promise<NodeEstimate>;
  upload(work: { storage: StorageGrant; wanted: StagedList }, run: JobRun): Promise<UploadReceipt>;
  restore(work: RestoreWork, run: JobRun): Promise<RestoreReceipt>;
  preview(work: RestoreWork, run: JobRun): Promise<RestoreForecast>;
  verifyPacks(work: VerifyWork, run: JobRun): Promise<PacksReceipt>;
  drill(work: DrillWork, run: JobRun): Promise<DrillReceipt>;
  /** Removes what a drill left. */
  endDrill(): Promise<void>;
}

export interface EstimateWork {
  operation: string;
  storageName: string;
  /** Id of the repository in it. */
  repository: string;
}

export interface DrillWork {
  operation: string;
  storageName: string;
  /** Id of the repository that has it. */
  repository: string;
  backup: BackupEntry;
  /** The nodes of the backup whose files this node takes. */
  froms: string[];
  directory: string;
  sample: DrillSample;
}

export interface RestoreWork {
  operation: string;
  storageName: string;
  /** Id of the repository that has it. */
  repository: string;
  backup: BackupEntry;
  /** The node of the backup that this node takes over. */
  from: string;
  paths: string[];
  to: string | null;
  verifyExisting: boolean;
}

export interface VerifyWork extends VerifyPacksInput {
  storageName: string;
  /** Id of the repository in it. */
  repository: string;
}

export interface NodeDeps {
  readonly node: string;
  readonly incarnation: string;
  readonly host: string;
  readonly lease: NodeLease;
  readonly liveness: Liveness;
  readonly jobs: NodeJobs;
  readonly plugin: NodePlugin;
}

/** `NodeTaken` when what was granted by one incarnation of a node comes to another. */
export function refuseOtherMachine(
  grant: NodeGrant,
  { node, host, incarnation }: Pick<NodeDeps, 'node' | 'host' | 'incarnation'>,
): void {
  if (grant.incarnation === incarnation) return;
  throw new HomarusError(
    'NodeTaken',
    `node ${node} is served by two machines: the lock was granted by ${grant.host} (incarnation ${grant.incarnation}), ` +
      `the work came to ${host} (incarnation ${incarnation})`,
  );
}

export type NodeActivities = ReturnType<typeof createNodeActivities>;

/** The long work of a node: it runs under the node's grant, and stops with it. */
export function createNodeActivities(deps: NodeDeps) {
  const watched = <T>(work: (run: JobRun) => Promise<T>): Promise<T> => watchedBy(deps.liveness, deps.node, work);
  const underGrant = <T>(grant: NodeGrant, work: (run: JobRun) => Promise<T>): Promise<T> =>
    watched(async (run) => {
      refuseOtherMachine(grant, deps);
      return deps.lease.run(grant, ({ signal, flag }) =>
        work({ ...run, signal: AbortSignal.any([run.signal, signal]), stop: flag }),
      );
    });
  return atTheDoor({
    ...deps.plugin.activities(underGrant),

    snapshotNode: (input: { grant: NodeGrant; storage: StorageGrant }): Promise<SnapshotReceipt> =>
      underGrant(input.grant, (run) => deps.jobs.snapshot({ storage: input.storage }, run)),

    uploadNode: (input: { grant: NodeGrant; storage: StorageGrant; wanted: StagedList }): Promise<UploadReceipt> =>
      underGrant(input.grant, (run) => deps.jobs.upload({ storage: input.storage, wanted: input.wanted }, run)),

    restoreNode: (
      input: Omit<RestoreWork, 'operation'> & { grant: NodeGrant; storage: StorageGrant | null },
    ): Promise<RestoreReceipt> =>
      underGrant(input.grant, (run) => {
        const { grant, storage: _, ...work } = input;
        return deps.jobs.restore({ ...work, operation: grant.attempt.operation }, run);
      }),

    drillNode: (input: Omit<DrillWork, 'operation'> & { grant: NodeGrant }): Promise<DrillReceipt> =>
      underGrant(input.grant, (run) => {
        const { grant, ...work } = input;
        return deps.jobs.drill({ ...work, operation: grant.attempt.operation }, run);
      }),

    endDrill: (input: { grant: NodeGrant }): Promise<void> => underGrant(input.grant, () => deps.jobs.endDrill()),

    /** Only looks, so it takes no part of the lock. */
    estimateNode: (input: EstimateWork): Promise<NodeEstimate> => watched((run) => deps.jobs.estimate(input, run)),

    /** Only looks, so it takes no part of the lock. */
    previewNode: (input: RestoreWork): Promise<RestoreForecast> => watched((run) => deps.jobs.preview(input, run)),

    /** Reads the storage alone, so it takes no part of the lock. */
    verifyPacks: (input: VerifyWork): Promise<PacksReceipt> => watched((run) => deps.jobs.verifyPacks(input, run)),
  });
}
