import { log, ParentClosePolicy, startChild, workflowInfo } from '@temporalio/workflow';
import { errorTable } from '../domain/errors.ts';
import type { Notice } from '../domain/notices.ts';
import type { ClusterSettings } from '../domain/operations.ts';
import type { OperationEnd } from '../domain/results.ts';
import { coordinatorSteps } from './activityProxies.ts';
import { codeOf, messageOf, unwrap } from './failures.ts';
import { notify } from './notify.ts';

/** Starts the notice of how an operation ended, where anybody wants one; it goes its own way. Never rejects. */
export async function tell(
  cluster: string,
  known: ClusterSettings | undefined,
  storage: string | undefined,
  { event, operation, reason }: { event: OperationEnd; operation: NonNullable<Notice['operation']>; reason: unknown },
): Promise<void> {
  try {
    const settings = known ?? (await coordinatorSteps.clusterSettings({ storage }));
    if (!settings.notifies) return;
    const notice: Notice = {
      ...{ event, cluster, operation, at: new Date().toISOString() },
      message: `${operation.kind} ${operation.id} ${event}${reason === undefined ? '' : `: ${messageOf(reason)}`}`,
      ...(event === 'failed' ? { code: codeOf(reason), hint: errorTable[codeOf(reason)].hint } : {}),
    };
    await startChild(notify, {
      workflowId: `notify-${workflowInfo().workflowId}`,
      args: [cluster, notice],
      parentClosePolicy: ParentClosePolicy.ABANDON,
      staticSummary: notice.message.slice(0, 200),
    });
  } catch (error) {
    log.warn(`nobody is told of the end of ${operation.id}: ${messageOf(unwrap(error))}`);
  }
}
