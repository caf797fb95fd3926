import { Option } from 'commander';
import { findBackup } from '../../client/reading.ts';
import type { DrillRequest } from '../../domain/requests.ts';
import type { Spec } from '../command.ts';
import { operate } from '../operate.ts';
import { percent, storageOption, waitOptions } from '../options.ts';

interface Options extends Omit<DrillRequest, 'backup'> {
  wait: boolean;
}

export const drill: Spec<Options, [string]> = {
  usage: 'drill [backup=latest]',
  summary: 'Prove that a backup can be restored, and learn how long that takes',
  details:
    'Each node restores its files, or a sample of them, into a scratch directory, reads them back and compares; then they are ' +
    'deleted. The nodes are locked meanwhile. How it went is kept with the backup, and "homarus list" shows it.',
  options: [
    new Option('--percent <share>', 'only so much of the files, others each time, e.g. 10%').argParser(percent),
    new Option('--node <id>', 'this node takes the files of all nodes, one after another'),
    new Option('--directory <directory>', 'where the scratch directory is made on each node (drill.directory)'),
    new Option('--check', 'let the plugin prove what was restored, as its configuration says'),
    storageOption(),
    ...waitOptions(),
  ],
  example: 'homarus drill --percent 10%',
  async run(context, { wait, ...options }, backup) {
    const { name } = findBackup(await context.reading(options.storage), backup);
    return operate(context, 'drill', { ...options, backup: name }, { wait });
  },
};
