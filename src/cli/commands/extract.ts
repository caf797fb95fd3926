import { Option } from 'commander';
import type { OperationStatus } from '../../client/progress.ts';
import { findBackup } from '../../client/reading.ts';
import { HomarusError } from '../../domain/errors.ts';
import type { NodeProgress } from '../../domain/operations.ts';
import { formatBytes } from '../../domain/text.ts';
import { runJob } from '../../node/job.ts';
import { readStream } from '../../storage/streams.ts';
import type { Spec } from '../command.ts';
import type { Context } from '../context.ts';
import { pathOption, storageOption } from '../options.ts';
import type { Answer } from '../output.ts';
import { progressView } from '../progressView.ts';
import { counted } from '../terminal.ts';
import { writeFileFrom } from '../writeFile.ts';

interface Options {
  node?: string;
  stream?: string;
  to: string;
  path?: string[];
  storage?: string;
  verifyExisting?: boolean;
}

export const extract: Spec<Options, [string]> = {
  usage: 'extract <backup>',
  summary: 'Bring the files of one node into a directory, straight from the storage: needs no Temporal, takes no lock',
  details:
    'The directory becomes what the backup has; it can be stopped anywhere and run again. With --stream it is one file: what ' +
    'a plugin stored beside the files of nodes; "show" names the streams of a backup.',
  options: [
    new Option('--node <id>', 'the node whose files they are'),
    new Option('--stream <name>', 'instead of files of a node: a stream of the backup'),
    new Option('--to <path>', 'the directory where they go, or the file that the stream becomes').makeOptionMandatory(),
    pathOption(),
    storageOption(),
    new Option('--verify-existing', 'compare the content of files that look right, too'),
  ],
  example: 'homarus extract latest --node db1 --to /tmp/db1',
  run(context, options, wanted) {
    const { node, stream, path, verifyExisting } = options;
    if ((node === undefined) === (stream === undefined)) {
      throw new HomarusError('BadInput', 'give --node, whose files are wanted, or --stream: one of them');
    }
    if (stream !== undefined && (path !== undefined || verifyExisting)) {
      throw new HomarusError('BadInput', '--path and --verify-existing are for files of a node, not for a stream');
    }
    return node === undefined
      ? extractStream(context, { ...options, stream: stream as string }, wanted)
      : extractNode(context, { ...options, node }, wanted);
  },
};

async function extractNode(
  context: Context,
  { node, to, path = [], storage, verifyExisting = false }: Options & { node: string },
  wanted: string,
): Promise<Answer> {
  const reading = await context.reading(storage, { anyCluster: true });
  const { name: backup } = findBackup(reading, wanted, { nodes: [node] });
  const { compression, parallelism } = await context.config();
  const view = progressView(context.terminal, context.output.json);
  const started = context.now().toISOString();
  const receipt = await runJob(
    'extract',
    {
      storage: await context.storage(storage),
      opened: { parameters: reading.repository.parameters, unlocked: reading.repository.unlocked },
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
}

async function extractStream(
  context: Context,
  { stream, to, storage }: Options & { stream: string },
  wanted: string,
): Promise<Answer> {
  const reading = await context.reading(storage, { anyCluster: true });
  const { name: backup } = findBackup(reading, wanted);
  const signal = context.interruption();
  const content = readStream(reading.repository, { name: backup }, stream, { signal });
  const bytes = await writeFileFrom(to, content).catch((error: unknown) => {
    if (!signal.aborted) throw error;
    throw new HomarusError('Cancelled', `it was interrupted; nothing was written to ${to}`, { hint: 'Run it again.' });
  });
  return {
    result: { backup, stream, to, bytes },
    text: `extracted stream ${stream} with ${formatBytes(bytes)} from ${backup} to ${to}`,
  };
}

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
