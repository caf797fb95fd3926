import type { Client, WorkflowExecutionStatusName, WorkflowHandle } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import type { temporal } from '@temporalio/proto';
import type { OperationKind } from '../domain/documents.ts';
import { HomarusError } from '../domain/errors.ts';
import type { HeartbeatDetails, NodeProgress, OperationProgress } from '../domain/operations.ts';
import { operationFailure, resultIn } from './failures.ts';
import { describeOperation } from './operations.ts';

export type OperationState = 'running' | 'succeeded' | 'failed' | 'cancelled';

/** One shape for the command line, the facade and the dashboard. */
export interface OperationStatus {
  id: string;
  kind: OperationKind;
  state: OperationState;
  started: string;
  ended: string | null;
  by: string;
  /** Where it is; null when the coordinators do not answer. */
  progress: (OperationProgress & { byNode: Record<string, NodeProgress> }) | null;
  result: unknown;
  error: { code: string; message: string; hint: string } | null;
}

const states: Partial<Record<WorkflowExecutionStatusName, OperationState>> = {
  COMPLETED: 'succeeded',
  CANCELLED: 'cancelled',
  FAILED: 'failed',
  TERMINATED: 'cancelled',
  TIMED_OUT: 'failed',
};

export const stateOf = (status: WorkflowExecutionStatusName): OperationState => states[status] ?? 'running';

/**
 * What an operation is at: the workflow knows phases and receipts, heartbeats what happens inside of an activity.
 * `OperationNotFound` where there is none, or none of `cluster`.
 */
export async function operationStatus(client: Client, id: string, cluster?: string): Promise<OperationStatus> {
  const handle = client.workflow.getHandle(id);
  const description = await describeOperation(client, id, cluster);
  const memo = description.memo?.homarus as { by?: string } | undefined;
  const state = stateOf(description.status.name);
  const status: OperationStatus = {
    id,
    kind: description.type as OperationKind,
    state,
    started: description.startTime.toISOString(),
    ended: description.closeTime?.toISOString() ?? null,
    by: memo?.by ?? '',
    progress: null,
    result: null,
    error: null,
  };
  if (state === 'running') {
    const progress = await phaseOf(handle);
    const byNode = fromHeartbeats(description.raw.pendingActivities ?? []);
    return { ...status, progress: progress && { ...progress, byNode } };
  }
  try {
    return { ...status, result: await handle.result() };
  } catch (error) {
    const failure = operationFailure(id, error);
    if (!(failure instanceof HomarusError)) throw failure;
    const { code, message, hint } = failure;
    return { ...status, result: resultIn(error), error: { code, message, hint } };
  }
}

async function phaseOf(handle: WorkflowHandle): Promise<OperationProgress | null> {
  try {
    return await handle.query<OperationProgress>('progress');
  } catch {
    // No coordinator answers: the operation waits for one, and what nodes do is still in their heartbeats.
    return null;
  }
}

function fromHeartbeats(pending: temporal.api.workflow.v1.IPendingActivityInfo[]): Record<string, NodeProgress> {
  const byNode: Record<string, NodeProgress> = {};
  for (const { heartbeatDetails } of pending) {
    const payload = heartbeatDetails?.payloads?.[0];
    if (!payload) continue;
    const details = defaultPayloadConverter.fromPayload(payload) as Partial<HeartbeatDetails>;
    if (details.v === 1 && details.node !== undefined && details.progress) byNode[details.node] = details.progress;
  }
  return byNode;
}
