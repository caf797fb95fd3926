import { Option } from 'commander';
import type { OperationStatus } from '../../client/progress.ts';
import { findBackup } from '../../client/reading.ts';
import type { NodeProgress } from '../../domain/operations.ts';
import { formatBytes } from '../../domain/text.ts';
import { runJob } from '../../node/job.ts';
import type { Spec } from '../command.ts';
import { pathOption, storageOption } from '../options.ts';
import { progressView } from '../progressView.ts';
import { counted } from '../terminal.ts';

export const extract: Spec<
  { node: string; to: string; path?: string[]; storage?: string; verifyExisting?: boolean },
  [string]
> = {
  usage: 'extract <backup>',
  summary: 'Bring the files of one node into a directory, straight from the storage: needs no Temporal, takes no lock',
  details: 'The directory becomes what the backup has; it can be stopped anywhere and run again.',
  options: [
    new Option('--node <id>', 'the node whose files they are').makeOptionMandatory(),
    new Option('--to <directory>', 'where they go').makeOptionMandatory(),
    pathOption(),
    storageOption(),
    new Option('--verify-existing', 'compare the content of files that look right, too'),
  ],
  example: 'homarus extract latest --node db1 --to /tmp/db1',
  async run(context, { node, to, path = [], storage, verifyExisting = false }, wanted) {
    const reading = await context.reading(storage, { anyCluster: true });
    const { name: backup } = findBackup(reading, wanted, { nodes: [node] });
    const { compression, parallelism } = await context.config();
    const view = progressView(context.terminal, context.output.json);
    const started = context.now().toISOString();
    const receipt = await runJob(
      'extract',
      {
        storage: await context.storage(storage),
        cluster: undefined,
        repository: undefined,
        unlocked: reading.repository.unlocked,
        level: compression.level,
        ...parallelism,
        backup,
        from: node,
        paths: path,
        to,
        verifyExisting,
      },
      {
        signal: context.interruption(),
        onProgress: (progress) => view.show(statusOf(backup, node, started, progress)),
        onWarning: (message) => context.output.note(message),
      },
    ).finally(() => view.end());
    const { files, bytes, kept, fetchedBytes, removed } = receipt;
    return {
      result: { backup, node, to, ...receipt },
      text:
        `extracted ${counted(files, 'file')} with ${formatBytes(bytes)} of node ${node} from ${backup} to ${to}\n` +
        `${kept} were right already, ${formatBytes(fetchedBytes)} were fetched, ${removed} extra removed`,
    };
  },
};

/** An extract is no operation of Temporal's, but is shown like one. */
function statusOf(backup: string, node: string, started: string, progress: NodeProgress): OperationStatus {
  const phase = { kind: 'restore', phase: 'restore', attempt: 1, attempts: 1, cluster: '' } as const;
  return {
    id: `extract of ${backup}`,
    kind: 'restore',
    state: 'running',
    started,
    ended: null,
    by: '',
    progress: { ...phase, done: [], nodes: [node], byNode: { [node]: progress } },
    result: null,
    error: null,
  };
}
