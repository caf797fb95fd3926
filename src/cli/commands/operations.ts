import type { Spec } from '../command.ts';
import { answerOf, attend, watch } from '../operate.ts';
import { noWaitOption } from '../options.ts';

export const follow: Spec<object, [string]> = {
  usage: 'follow <operation>',
  summary: 'Show an operation until it ends, and how it ended',
  details: 'Ctrl-C asks on a terminal whether to go on watching, to leave it running or to cancel it.',
  example: 'homarus follow backup-prod-20261124T031500Z-4f2a',
  run: async (context, _, id) => answerOf(context, id, await attend(context, id)),
};

export const cancel: Spec<{ wait: boolean }, [string]> = {
  usage: 'cancel <operation>',
  summary: 'Stop an operation; it unlocks the cluster before it ends',
  options: [noWaitOption()],
  example: 'homarus cancel backup-prod-20261124T031500Z-4f2a',
  async run(context, { wait }, id) {
    const { cancelOperation } = await import('../../client/operations.ts');
    await cancelOperation(await context.client(), id);
    if (!wait) return { result: { operation: id }, text: id };
    const status = await watch(context, id);
    if (status?.state !== 'cancelled') return answerOf(context, id, status);
    const result = { operation: id, kind: status.kind, state: status.state };
    return { result, text: `${id} is cancelled, and the cluster unlocked` };
  },
};
