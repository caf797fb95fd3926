import { Option } from 'commander';
import { findBackup } from '../../client/reading.ts';
import type { BackupEntry } from '../../domain/documents.ts';
import { HomarusError } from '../../domain/errors.ts';
import type { RestorePair, RestoreRequest } from '../../domain/requests.ts';
import type { RestorePreview } from '../../domain/results.ts';
import { formatBytes } from '../../domain/text.ts';
import { canAsk, confirm } from '../ask.ts';
import type { Spec } from '../command.ts';
import type { Context } from '../context.ts';
import { operate } from '../operate.ts';
import { nodeOption, pair, pathOption, storageOption, time, waitOptions, yesOption } from '../options.ts';
import { describePreview } from '../previewText.ts';
import { counted } from '../terminal.ts';

interface Options {
  before?: string;
  node?: string[];
  path?: string[];
  to?: string;
  storage?: string;
  verifyExisting?: boolean;
  map?: RestorePair[];
  dryRun?: boolean;
  check?: boolean;
  waitForLock?: number;
  yes?: boolean;
  wait: boolean;
}

export const restore: Spec<Options, [string]> = {
  usage: 'restore [backup=latest]',
  summary: 'Bring a backup back to the nodes of the cluster',
  details:
    'In place, unless --to names another directory: files that are right already are kept, others are replaced, and ' +
    'what the backup does not have is removed where --path covers it. It can be stopped anywhere and run again. On a terminal ' +
    'it shows its plan and asks first.',
  options: [
    new Option('--before <time>', 'the latest backup that finished before this time (UTC)').argParser(time),
    nodeOption(),
    pathOption(),
    new Option('--to <directory>', 'another directory than the data roots, on each node'),
    storageOption(),
    new Option('--verify-existing', 'compare the content of files that look right, too'),
    new Option(
      '--map <backupNode=node>',
      'this node takes the files of that node of the backup; may be repeated',
    ).argParser(pair),
    new Option('--dry-run', 'only show what would be done: who takes what, bytes, space'),
    new Option('--check', 'let the plugin prove what was restored, as its configuration says'),
    yesOption(),
    ...waitOptions(),
  ],
  example: 'homarus restore latest --before 2026-11-24T03:00:00Z --node a --path "tables/**"',
  async run(context, options, backup) {
    const { before, node, path, to, storage, verifyExisting, map, check, dryRun, waitForLock, yes, wait } = options;
    if (before !== undefined && backup !== 'latest') {
      throw new HomarusError('BadInput', `--before chooses a backup, and so does "${backup}": give one of them`);
    }
    // What is shown and asked about is what is restored, though a newer backup may end meanwhile.
    const asked =
      to === undefined && !yes && !dryRun
        ? findBackup(await context.reading(storage, { anyCluster: true }), backup, { before, nodes: node })
        : undefined;
    const request: RestoreRequest = { backup: asked?.name ?? backup };
    if (before !== undefined && !asked) request.before = before;
    if (storage !== undefined) request.storage = storage;
    if (node !== undefined) request.nodes = node;
    if (path !== undefined) request.paths = path;
    if (to !== undefined) request.to = to;
    if (verifyExisting) request.verifyExisting = true;
    if (check) request.check = true;
    if (map !== undefined) request.map = map;
    if (dryRun) {
      const result = await previewOf(context, request);
      return { result: { dryRun: true, ...result }, text: describePreview(result) };
    }
    if (asked) {
      if (canAsk(context.terminal)) {
        const shown = await previewOf(context, request);
        request.map = shown.pairs.map((pair) => ({ from: pair.from, to: pair.to }));
        context.output.note(`${describePreview(shown)}\n`);
      }
      await confirm(context.terminal, intention(asked, options), yes);
    }
    if (waitForLock !== undefined) request.waitForLock = waitForLock;
    return operate(context, 'restore', request, { wait });
  },
};

/** Asks the nodes what a restore would do. */
async function previewOf(context: Context, request: RestoreRequest): Promise<RestorePreview> {
  const answer = await operate(context, 'preview', request, { wait: true });
  if (answer.exit !== undefined)
    throw new HomarusError('Cancelled', 'the preview was left alone; nothing was restored');
  const { operation: _, kind: __, state: ___, ...preview } = answer.result as unknown as RestorePreview & KnownOf;
  return preview;
}

interface KnownOf {
  operation: string;
  kind: string;
  state: string;
}

function intention(entry: BackupEntry, { node, path }: Options): string {
  const label = entry.label ? ` "${entry.label}"` : '';
  const size = `${counted(entry.files, 'file')}, ${formatBytes(entry.bytes)}`;
  const missing =
    node === undefined && entry.partial ? `; ${entry.partial.join(', ')}, missing in it, stay as they are` : '';
  return [
    `This restores backup ${entry.name}${label} (${size}) in place`,
    node ? `on the nodes ${node.join(', ')}` : entry.partial ? 'on the nodes that it has' : 'on all nodes',
    path ? `below ${path.join(', ')}:` : ':',
    `files that differ are replaced, and files that it does not have are removed${missing}.`,
  ]
    .join(' ')
    .replace(' :', ':');
}
