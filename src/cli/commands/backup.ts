import { Option } from 'commander';
import type { BackupRequest } from '../../domain/operations.ts';
import type { Spec } from '../command.ts';
import { operate } from '../operate.ts';
import { storageOption, waitOptions } from '../options.ts';

export const backup: Spec<BackupRequest & { wait: boolean }> = {
  usage: 'backup',
  summary: 'Back up every node of the cluster',
  details:
    'The backup exists when this ends well. What is stored already is not sent again. ' +
    'Ctrl-C leaves the operation running and says how to follow or cancel it.',
  options: [new Option('--label <text>', 'what people shall know about it'), storageOption(), ...waitOptions()],
  example: 'homarus backup --label "before the upgrade"',
  run: (context, { wait, ...request }) => operate(context, 'backup', request, { wait }),
};
