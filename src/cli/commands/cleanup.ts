import { tmpdir } from 'node:os';
import { Option } from 'commander';
import { findBackup, type Reading } from '../../client/reading.ts';
import { periods } from '../../domain/calendar.ts';
import { HomarusError } from '../../domain/errors.ts';
import type { CleanupRequest } from '../../domain/requests.ts';
import type { RetentionPolicy, Verdict } from '../../domain/retention.ts';
import { policyFields } from '../../domain/retention.ts';
import { formatBytes } from '../../domain/text.ts';
import { verdicts } from '../../storage/cleanUp.ts';
import type { CleanupPreview } from '../../storage/previewCleanup.ts';
import { previewCleanup } from '../../storage/previewCleanup.ts';
import { confirm } from '../ask.ts';
import type { Spec } from '../command.ts';
import type { Context } from '../context.ts';
import { operate } from '../operate.ts';
import { count, keepCount, share, size, span, storageOption, timeZone, waitOptions, yesOption } from '../options.ts';
import type { Answer } from '../output.ts';
import { counted, table } from '../terminal.ts';

interface Options {
  storage?: string;
  dryRun?: boolean;
  yes?: boolean;
  waitForLock?: number;
  wait: boolean;
  maxUnused?: number;
  maxRepackBytes?: number;
}

const units = { hourly: 'hours', daily: 'days', weekly: 'weeks', monthly: 'months', yearly: 'years' } as const;

const dryRunOption = (): Option => new Option('--dry-run', 'only say what would be removed and rewritten, and why');
const common = (): Option[] => [
  new Option('--max-unused <share>', 'rewrite packs until no more than this is unused in them, e.g. 5%').argParser(
    share,
  ),
  new Option('--max-repack-bytes <size>', 'rewrite no more than this, e.g. 10GiB').argParser(size),
  dryRunOption(),
  storageOption(),
  yesOption(),
  ...waitOptions(),
];

export const cleanup: Spec<Options & RetentionPolicy & { orphans?: boolean }> = {
  usage: 'cleanup',
  summary: 'Remove what retention lets go, and everything that no backup needs',
  details: 'An option given here takes the place of the same field of "retention" or "cleanup" in the configuration.',
  options: [
    new Option('--keep-last <n>', 'keep the last n backups; "unlimited" for all').argParser(keepCount),
    ...periods.map((period) =>
      new Option(
        `--keep-${period} <n>`,
        `keep the newest backup of each of the n newest ${units[period]} that have one`,
      ).argParser(keepCount),
    ),
    new Option(
      '--keep-within <span>',
      'keep what is not older than the newest by more than e.g. 1y6m, 14d or 36h',
    ).argParser(span),
    ...periods.map((period) =>
      new Option(
        `--keep-within-${period} <span>`,
        `of what is within the span, keep the newest of each of the ${units[period]}`,
      ).argParser(span),
    ),
    new Option('--time-zone <name>', 'whose days, weeks and months count, e.g. Europe/Berlin (default: UTC)').argParser(
      timeZone,
    ),
    new Option('--minimum-backups <n>', 'remove none as long as there are no more than n').argParser(count),
    new Option('--maximum-backups <n>', 'keep no more than n').argParser(count),
    new Option('--keep-days <n>', 'remove what is older than n days').argParser(count),
    new Option('--orphans', 'also give up what died backups left for the next one to go on from'),
    ...common(),
  ],
  example: 'homarus cleanup --keep-last 7 --dry-run',
  async run(context, { orphans, ...options }) {
    const given = policyFields.filter((field) => options[field] !== undefined);
    const { retention } = await context.config();
    const asked = Object.fromEntries(given.map((field) => [field, options[field]]));
    const request: CleanupRequest = { retention: { ...retention, ...asked } };
    if (orphans) request.orphans = true;
    return remove(context, request, options);
  },
};

export const deletion: Spec<Options, [string[]]> = {
  usage: 'delete <backup...>',
  summary: 'Remove backups by name, and what no other needs',
  details: 'Retention has no say in it. A pinned backup stays, and so does one that another backup needs.',
  options: common(),
  example: 'homarus delete 2026-11-24T03-15-00Z --dry-run',
  async run(context, options, names) {
    const reading = await context.reading(options.storage);
    if (names.includes('latest'))
      throw new HomarusError('BadInput', 'delete wants names: "latest" may be another one soon');
    const backups = names.map((name) => findBackup(reading, name).name);
    return remove(context, { backups }, options);
  },
};

/** Judges, asks, and cleans up; a dry run only judges, and looks what packs hold. */
async function remove(context: Context, request: CleanupRequest, options: Options): Promise<Answer> {
  const { storage, dryRun, yes, waitForLock, wait, maxUnused, maxRepackBytes } = options;
  const reading = await context.reading(storage);
  const judged = await judgeNow(context, reading, request);
  const going = judged.filter((verdict) => !verdict.keep);
  const { orphans = false } = request;
  const rewrite = {
    ...(maxUnused !== undefined && { maxUnused }),
    ...(maxRepackBytes !== undefined && { maxRepackBytes }),
  };
  if (dryRun) {
    const limits = { ...(await context.config()).cleanup, ...rewrite };
    const packs = await preview(context, reading, { going: new Set(going.map(({ name }) => name)), limits });
    const lines = [verdictTable(judged), `${counted(going.length, 'backup')} would be removed`, ...describe(packs)];
    return { result: { dryRun: true, verdicts: judged, packs }, text: lines.join('\n') };
  }
  const refused = judged.filter((verdict) => verdict.keep && request.backups?.includes(verdict.name));
  if (refused.length > 0) {
    const reasons = refused.map(({ name, reasons }) => `${name} (${reasons.join(', ')})`);
    throw new HomarusError('BadInput', `these backups stay: ${reasons.join(', ')}`, {
      hint: 'Unpin it with "homarus unpin", or leave it out.',
    });
  }
  if (going.length > 0 || orphans) {
    const lines = [
      `This removes ${counted(going.length, 'backup')} for good${orphans ? ', and what died backups left' : ''}:`,
    ];
    await confirm(
      context.terminal,
      [...lines, ...going.map(({ name, reasons: why }) => `  ${name}  ${why.join(', ')}`)].join('\n'),
      yes,
    );
  }
  if (Object.keys(rewrite).length > 0) request.rewrite = rewrite;
  if (storage !== undefined) request.storage = storage;
  if (waitForLock !== undefined) request.waitForLock = waitForLock;
  return operate(context, 'cleanup', request, { wait });
}

async function judgeNow(context: Context, { repository, at }: Reading, request: CleanupRequest): Promise<Verdict[]> {
  const { retention } = await context.config();
  return verdicts(repository, at, request, { retention, now: context.now().getTime() });
}

function preview(
  context: Context,
  { repository, at }: Reading,
  input: Parameters<typeof previewCleanup>[2],
): Promise<CleanupPreview | null> {
  let told = false;
  return previewCleanup(repository, at.root, input, {
    directory: tmpdir(),
    signal: context.interruption(),
    onProgress(step, _, total) {
      if (!told) context.output.note(`${step}: ${formatBytes(total)} of trees are read`);
      told = true;
    },
  });
}

function describe(preview: CleanupPreview | null): string[] {
  if (preview === null) return ['what the packs hold that is needed is not known: all of them would stay'];
  const { dropped, rewritten, formerKeys } = preview;
  const told = ({ packs, bytes }: { packs: number; bytes: number }): string =>
    `${counted(packs, 'pack')} with ${formatBytes(bytes)}`;
  const lines = [
    `${told(dropped)} would be deleted, ${told(rewritten)} rewritten, of which ${formatBytes(rewritten.used)} are needed`,
  ];
  if (formerKeys.packs > 0) lines.push(`${told(formerKeys)} would be rewritten because a former data key seals them`);
  return lines;
}

const verdictTable = (judged: readonly Verdict[]): string =>
  table(
    ['backup', 'verdict', 'reason'],
    judged.map(({ name, keep, reasons }) => [name, keep ? 'keep' : 'remove', reasons.join(', ')]),
  );
