import type { OperationName, Operations } from '../client/operations.ts';
import type { OperationStatus } from '../client/progress.ts';
import { HomarusError, hasCode, isErrorCode } from '../domain/errors.ts';
import { canAsk, whatNow } from './ask.ts';
import type { Context } from './context.ts';
import { follow } from './follow.ts';
import { describeOutcome } from './outcomes.ts';
import type { Answer } from './output.ts';
import { Failure } from './output.ts';
import { progressView } from './progressView.ts';

export interface Operating {
  /** False with `--no-wait`. */
  wait: boolean;
  /** Enough was seen, though it still runs. */
  enough?: (status: OperationStatus) => boolean;
  /** What people read of an operation that succeeded, or of which enough was seen. */
  describe?: (status: OperationStatus) => string;
}

/** The exit code of who pressed Ctrl-C. */
const INTERRUPTED = 130;

/** Starts an operation and shows it until it ends. */
export async function operate<N extends OperationName>(
  context: Context,
  name: N,
  request: Operations[N]['request'],
  operating: Operating,
): Promise<Answer> {
  const { operationId, startOperation } = await import('../client/operations.ts');
  const { cluster } = await context.config();
  const client = await context.client();
  const id = operationId(name, cluster, context.now());
  // From here on Ctrl-C may come when it has started already.
  const interrupted = context.interruption();
  await startOperation(client, cluster, name, { ...request, by: context.who }, id);
  if (!operating.wait) return { result: { operation: id }, text: id };
  return answerOf(context, id, await attend(context, id, operating.enough, interrupted), operating.describe);
}

/** Shows an operation until it ends; at Ctrl-C it asks on a terminal what to do. Undefined when it is left running. */
export async function attend(
  context: Context,
  id: string,
  enough?: Operating['enough'],
  interrupted = context.interruption(),
): Promise<OperationStatus | undefined> {
  for (let signal = interrupted; ; signal = context.interruption()) {
    const status = await watch(context, id, enough, signal);
    if (status !== undefined || context.output.json || !canAsk(context.terminal)) return status;
    const chosen = await whatNow(context.terminal, id);
    if (chosen === 'leave') return undefined;
    if (chosen === 'cancel') {
      const { cancelOperation } = await import('../client/operations.ts');
      // It may have ended while somebody thought about it.
      await cancelOperation(await context.client(), id).catch((error: unknown) => {
        if (!hasCode(error, 'OperationNotFound')) throw error;
      });
      return watch(context, id);
    }
  }
}

/** Shows an operation until it ends; undefined when Ctrl-C came before. */
export async function watch(
  context: Context,
  id: string,
  enough: Operating['enough'] = () => false,
  interrupted = context.interruption(),
): Promise<OperationStatus | undefined> {
  const { operationStatus } = await import('../client/progress.ts');
  const client = await context.client();
  const view = progressView(context.terminal, context.output.json);
  const ended = client.workflow.getHandle(id).result();
  return follow({ status: () => operationStatus(client, id), ended, view, interrupted, enough });
}

/** What a command answers that showed an operation; a `Failure` with its error where it failed. */
export async function answerOf(
  context: Context,
  id: string,
  status: OperationStatus | undefined,
  describe: (status: OperationStatus) => string = describeOutcome,
): Promise<Answer> {
  if (status === undefined) return leftAlone(context, id);
  const known = { operation: id, kind: status.kind, state: status.state };
  if (status.error === null)
    return { result: { ...known, ...(status.result as object | null) }, text: describe(status) };
  const { code, message, hint } = status.error;
  throw new Failure(new HomarusError(isErrorCode(code) ? code : 'Internal', message, { hint }), {
    result: { ...known, ...(status.result as object | null) },
    ...(status.result === null ? {} : { text: describe(status) }),
  });
}

async function leftAlone(context: Context, id: string): Promise<Answer> {
  const { namespace, address } = await context.temporal();
  context.output.note(
    [
      `The operation goes on.  See it again: homarus follow ${id}  Cancel it: homarus cancel ${id}`,
      `  or:  temporal workflow cancel --workflow-id ${id} --namespace ${namespace} --address ${address}`,
    ].join('\n'),
  );
  return { result: { operation: id, state: 'running' }, exit: INTERRUPTED };
}
