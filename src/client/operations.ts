import { createHash, randomBytes } from 'node:crypto';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from '@temporalio/client';
import { coordinatorQueue } from '../domain/cluster.ts';
import type { OperationKind } from '../domain/documents.ts';
import { HomarusError } from '../domain/errors.ts';
import type {
  BackupRequest,
  CleanupRequest,
  DrillRequest,
  LockRequest,
  RestoreRequest,
  VerifyRequest,
} from '../domain/requests.ts';
import type {
  BackupEstimate,
  BackupResult,
  CleanupResult,
  DrillResult,
  RestorePreview,
  RestoreResult,
  Skipped,
  VerifyResult,
} from '../domain/results.ts';
import { operationFailure } from './failures.ts';
import { attributesOf, withAttributes } from './searchAttributes.ts';

/** Request and result of each operation. */
export interface Operations {
  backup: { request: BackupRequest; result: BackupResult | Skipped };
  estimate: { request: BackupRequest; result: BackupEstimate | Skipped };
  restore: { request: RestoreRequest; result: RestoreResult | Skipped };
  drill: { request: DrillRequest; result: DrillResult | Skipped };
  preview: { request: RestoreRequest; result: RestorePreview | Skipped };
  cleanup: { request: CleanupRequest; result: CleanupResult | Skipped };
  verify: { request: VerifyRequest; result: VerifyResult | Skipped };
  lock: { request: LockRequest; result: { ended: 'unlocked' | 'expired' } | Skipped };
}
export type OperationName = keyof Operations;

/**
 * An operation's id, which is its workflow's: readable, and sorted by time in Temporal's UI, e.g.
 * `backup-prod-20261124T031500Z-4f2a`.
 */
export function operationId(kind: OperationKind, cluster: string, now: Date): string {
  const time = now.toISOString().replaceAll(/[-:]|\.\d+/g, '');
  return `${kind}-${cluster}-${time}-${randomBytes(2).toString('hex')}`;
}

/** Starts an operation; with an `id` that was used before it answers the one that was started then. */
export async function startOperation<N extends OperationName>(
  client: Client,
  cluster: string,
  name: N,
  request: Operations[N]['request'],
  id: string = operationId(name, cluster, new Date()),
): Promise<WorkflowHandle> {
  try {
    return await withAttributes(attributesOf(cluster, name), (attributes) =>
      client.workflow.start(name, {
        workflowId: id,
        taskQueue: coordinatorQueue(cluster),
        args: [cluster, request],
        workflowIdConflictPolicy: 'USE_EXISTING',
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        staticSummary: summaryOf(name, cluster, request),
        memo: { homarus: { cluster, kind: name, by: request.by ?? '', asked: digestOf(request) } satisfies Memo },
        ...attributes,
      }),
    );
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return client.workflow.getHandle(id);
    throw error;
  }
}

/**
 * Starts an operation once for each key of its caller's, for as long as Temporal remembers it; answers its id. `KeyReused`
 * when the key belongs to another request.
 */
export async function startOnce<N extends OperationName>(
  client: Client,
  cluster: string,
  name: N,
  request: Operations[N]['request'],
  key: string,
): Promise<string> {
  const handle = await startOperation(client, cluster, name, request, `${name}-${cluster}-${key}`);
  const memo = (await handle.describe()).memo?.homarus as Memo | undefined;
  if (memo?.asked === digestOf(request)) return handle.workflowId;
  throw new HomarusError('KeyReused', `${handle.workflowId} was asked something else under this Idempotency-Key`);
}

/** Waits until an operation holds its lock. When it ended without one this rejects with the reason, e.g. `LockHeld`. */
export async function whenLocked(client: Client, id: string): Promise<void> {
  const handle = client.workflow.getHandle(id);
  try {
    await handle.executeUpdate('locked');
  } catch (error) {
    // Its end says more than that it did not answer.
    if ((await handle.describe()).status.name === 'RUNNING') throw error;
    await resultOf(handle);
  }
}

/** What an operation's memo says: whose, which, who asked for it, and a digest of what was asked. */
interface Memo {
  cluster: string;
  kind: string;
  by: string;
  asked: string;
}

function digestOf(request: object): string {
  const fields = Object.entries(request).filter(([name, value]) => name !== 'by' && value !== undefined);
  const sorted = fields.toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('base64url').slice(0, 22);
}

/** The result of an operation; a HomarusError with the code and text of its failure when it failed. */
export async function resultOf<N extends OperationName>(handle: WorkflowHandle): Promise<Operations[N]['result']> {
  try {
    return (await handle.result()) as Operations[N]['result'];
  } catch (error) {
    throw operationFailure(handle.workflowId, error);
  }
}

/** What Temporal knows of an operation; `OperationNotFound` where there is none, or none of `cluster`. */
export async function describeOperation(client: Client, id: string, cluster?: string) {
  const description = await client.workflow
    .getHandle(id)
    .describe()
    .catch((error: unknown) => {
      throw notFoundOr(id, error);
    });
  if (cluster === undefined || description.taskQueue === coordinatorQueue(cluster)) return description;
  throw new HomarusError('OperationNotFound', `cluster ${cluster} has no operation ${id}`);
}

/** Asks an operation to stop; it unlocks the cluster before it ends. */
export async function cancelOperation(client: Client, id: string, cluster?: string): Promise<void> {
  try {
    if (cluster !== undefined) await describeOperation(client, id, cluster);
    await client.workflow.getHandle(id).cancel();
  } catch (error) {
    throw notFoundOr(id, error);
  }
}

/** Tells the operation that holds the lock for its operator to let go. `BadInput` for one that is no such lock. */
export async function askToUnlock(client: Client, id: string, cluster?: string): Promise<void> {
  const { type } = await describeOperation(client, id, cluster);
  if (type !== 'lock') {
    throw new HomarusError('BadInput', `${id} is a ${type}, which nobody can unlock while it works; cancel it`);
  }
  try {
    await client.workflow.getHandle(id).signal('unlock');
  } catch (error) {
    throw notFoundOr(id, error);
  }
}

/** The same, and waits until the cluster is free. */
export async function unlockOperation(client: Client, id: string): Promise<void> {
  await askToUnlock(client, id);
  await resultOf<'lock'>(client.workflow.getHandle(id));
}

export function notFoundOr(id: string, error: unknown): unknown {
  if (!(error instanceof WorkflowNotFoundError)) return error;
  return new HomarusError('OperationNotFound', `Temporal knows no running operation ${id}`, { cause: error });
}

function summaryOf(name: OperationName, cluster: string, request: Operations[OperationName]['request']): string {
  const what = {
    backup: () => ('label' in request && request.label ? `"${request.label}"` : ''),
    estimate: () => 'of a backup',
    restore: () => `of ${(request as RestoreRequest).backup}`,
    drill: () => `of ${(request as DrillRequest).backup ?? 'latest'}`,
    preview: () => `of a restore of ${(request as RestoreRequest).backup}`,
    cleanup: () => ('backups' in request && request.backups ? `of ${request.backups.length} named backups` : ''),
    verify: () => ('readData' in request && request.readData ? 'with content' : ''),
    lock: () => `for ${Math.round((request as LockRequest).for / 1000)} s`,
  }[name]();
  return `${name}, cluster ${cluster} ${what} ${request.by ? `asked by ${request.by}` : ''}`
    .replaceAll(/\s+/g, ' ')
    .trim();
}
