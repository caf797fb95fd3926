import type { OperationName, Operations } from '../client/operations.ts';
import type { OperationStatus } from '../client/progress.ts';
import { HomarusError, isErrorCode } from '../domain/errors.ts';
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
  return answerOf(context, id, await watch(context, id, operating.enough, interrupted), operating.describe);
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
      `The operation goes on. To see it again:  homarus follow ${id}`,
      `To cancel it:  homarus cancel ${id}`,
      `  or:  temporal workflow cancel --workflow-id ${id} --namespace ${namespace} --address ${address}`,
    ].join('\n'),
  );
  return { result: { operation: id, state: 'running' }, exit: INTERRUPTED };
}
