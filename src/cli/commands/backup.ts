import { Option } from 'commander';
import { nodesWithout } from '../../domain/cluster.ts';
import type { BackupRequest } from '../../domain/requests.ts';
import type { Spec } from '../command.ts';
import { operate } from '../operate.ts';
import { collect, count, storageOption, waitOptions } from '../options.ts';
import type { Answer } from '../output.ts';

type Options = Omit<BackupRequest, 'withoutNodes'> & { withoutNode?: string[]; dryRun?: boolean; wait: boolean };

export const backup: Spec<Options> = {
  usage: 'backup',
  summary: 'Back up every node of the cluster',
  details:
    'The backup exists when this ends well. What is stored already is not sent again. ' +
    'Ctrl-C asks on a terminal whether to go on watching, to leave it running or to cancel it.',
  options: [
    new Option('--label <text>', 'what people shall know about it'),
    new Option('--without-node <id>', 'a partial backup, without this node; may be repeated').argParser(collect),
    new Option('--allow-missing <n>', 'go without nodes that do not answer, n at most').argParser(count),
    new Option('--dry-run', 'only say what would be read and stored; no file is read, nothing is locked'),
    storageOption(),
    ...waitOptions(),
  ],
  example: 'homarus backup --label "before the upgrade"',
  async run(context, { wait, withoutNode, dryRun, ...request }) {
    const asked: BackupRequest = withoutNode === undefined ? request : { ...request, withoutNodes: withoutNode };
    nodesWithout((await context.config()).nodes, withoutNode);
    if (dryRun) return estimated(await operate(context, 'estimate', asked, { wait: true }));
    return operate(context, 'backup', asked, { wait });
  },
};

const estimated = (answer: Answer): Answer => ({ ...answer, result: { dryRun: true, ...answer.result } });
