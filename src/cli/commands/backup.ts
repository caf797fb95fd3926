import { Option } from 'commander';
import { nodesWithout } from '../../domain/cluster.ts';
import type { BackupRequest } from '../../domain/requests.ts';
import type { Spec } from '../command.ts';
import { operate } from '../operate.ts';
import { collect, count, storageOption, waitOptions } from '../options.ts';

type Options = Omit<BackupRequest, 'withoutNodes'> & { withoutNode?: string[]; wait: boolean };

export const backup: Spec<Options> = {
  usage: 'backup',
  summary: 'Back up every node of the cluster',
  details:
    'The backup exists when this ends well. What is stored already is not sent again. ' +
    'Ctrl-C leaves the operation running and says how to follow or cancel it.',
  options: [
    new Option('--label <text>', 'what people shall know about it'),
    new Option('--without-node <id>', 'a partial backup, without this node; may be repeated').argParser(collect),
    new Option('--allow-missing <n>', 'go without nodes that do not answer, n at most').argParser(count),
    storageOption(),
    ...waitOptions(),
  ],
  example: 'homarus backup --label "before the upgrade"',
  async run(context, { wait, withoutNode, ...request }) {
    if (withoutNode === undefined) return operate(context, 'backup', request, { wait });
    nodesWithout((await context.config()).nodes, withoutNode);
    return operate(context, 'backup', { ...request, withoutNodes: withoutNode }, { wait });
  },
};
