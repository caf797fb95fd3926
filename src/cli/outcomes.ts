import type { OperationStatus } from '../client/progress.ts';
import type {
  BackupEstimate,
  BackupResult,
  CleanupResult,
  DrillResult,
  RestorePreview,
  RestoreResult,
  VerifyResult,
} from '../domain/results.ts';
import { whySkipped } from '../domain/results.ts';
import { formatBytes, formatDuration } from '../domain/text.ts';
import { describeEstimate } from './estimateText.ts';
import { describePreview, wordsOf } from './previewText.ts';
import { counted } from './terminal.ts';

/** What people read of an operation that succeeded. */
export function describeOutcome({ id, kind, result }: OperationStatus): string {
  const skipped = whySkipped(result);
  if (skipped !== undefined) return `${id} was skipped: ${skipped}`;
  switch (kind) {
    case 'backup':
      return describeBackup(result as BackupResult);
    case 'estimate':
      return describeEstimate(result as BackupEstimate);
    case 'restore':
      return describeRestore(result as RestoreResult);
    case 'drill':
      return describeDrill(result as DrillResult);
    case 'preview':
      return describePreview(result as RestorePreview);
    case 'cleanup':
      return describeCleanup(result as CleanupResult);
    case 'verify':
      return describeVerify(result as VerifyResult);
    case 'lock':
      return `lock ${id}: ${(result as { ended: string }).ended}`;
    default:
      return `${kind} ${id} succeeded`;
  }
}

function describeBackup(result: BackupResult): string {
  const { backup, attempt, nodes, missing, files, bytes, added, stored, skipped, vanished, snapshotSpread } = result;
  const lines = [
    `backup ${backup}: ${counted(files, 'file')} with ${formatBytes(bytes)} on ${counted(nodes, 'node')}`,
    `new in it: ${formatBytes(added)}, stored as ${formatBytes(stored)}`,
  ];
  if (missing.length > 0) lines.push(`it is partial, without ${missing.join(', ')}: no rule of retention counts it`);
  if (nodes > 1) lines.push(`the snapshots of all nodes were begun within ${(snapshotSpread / 1000).toFixed(1)} s`);
  if (attempt > 1) lines.push(`it took ${counted(attempt, 'attempt')}`);
  if (skipped > 0) lines.push(`left out, being no files or unreadable: ${skipped}`);
  if (vanished > 0) lines.push(`gone before they could be read: ${counted(vanished, 'file')}`);
  return lines.join('\n');
}

function describeRestore(result: RestoreResult): string {
  const { backup, pairs, missing, files, bytes, kept, fetchedBytes, removed, checked } = result;
  const lines = [
    `restored ${backup}: ${counted(files, 'file')} with ${formatBytes(bytes)} on ${counted(pairs.length, 'node')}`,
    `${counted(kept, 'file')} were right already, ${formatBytes(fetchedBytes)} were fetched, ${removed} extra removed`,
  ];
  if (missing.length > 0) lines.push(`missing in the backup, and left as they are: ${missing.join(', ')}`);
  for (const { from, to } of pairs) if (from !== to) lines.push(`node ${to} got what node ${from} had`);
  lines.push(...wordsOf(result.plugin));
  if (checked) lines.push('the check of the plugin passed');
  return lines.join('\n');
}

function describeDrill(result: DrillResult): string {
  const { backup, pairs, percent, files, bytes, tookMs, expectedMs, checked } = result;
  const much = percent < 100 ? ` (${percent} % of them)` : '';
  const lines = [
    `drilled ${backup}: ${counted(files, 'file')}${much} with ${formatBytes(bytes)} of ${counted(pairs.length, 'node')} ` +
      `restored in ${formatDuration(tookMs)}, read back and right`,
    `a restore of all of it would take about ${formatDuration(expectedMs)}`,
  ];
  if (checked) lines.push("the plugin's check passed");
  return lines.join('\n');
}

function describeCleanup(result: CleanupResult): string {
  const { kept, removedBackups, deleted, bytes, retained, space, formerKeys } = result;
  const { rewrittenPacks, rewrittenBytes, damagedPacks } = result;
  const lines = [
    `${counted(removedBackups, 'backup')} removed, ${kept} kept`,
    `${counted(deleted, 'object')} with ${formatBytes(bytes)} deleted`,
  ];
  if (rewrittenPacks > 0) lines.push(`${counted(rewrittenPacks, 'pack')} rewritten as ${formatBytes(rewrittenBytes)}`);
  if (space)
    lines.push(`packs hold ${formatBytes(space.used)} that backups need, and ${formatBytes(space.unused)} more`);
  if (damagedPacks > 0) {
    lines.push(
      `damaged, so left as they are: ${counted(damagedPacks, 'pack')}; the next backup stores again what it can`,
    );
  }
  if (formerKeys) {
    lines.push(
      formerKeys.packs === 0
        ? 'nothing is sealed with a former data key any more'
        : `still sealed with a former data key: ${counted(formerKeys.packs, 'pack')} with ${formatBytes(formerKeys.bytes)}; the next cleanup goes on`,
    );
  }
  if (retained > 0) lines.push(`held back by the object lock of the storage: ${counted(retained, 'object')}`);
  return lines.join('\n');
}

function describeVerify(result: VerifyResult): string {
  const { backups, damagedBackups, indexes, chunks, packs, bytes, readPacks, readBytes, damaged, notedIn, report } =
    result;
  const lines = [
    `verified ${counted(backups, 'backup')}: ${counted(chunks, 'chunk')} in ${counted(packs, 'pack')} with ${formatBytes(bytes)}, ` +
      `listed in ${counted(indexes, 'index file')}`,
  ];
  if (readPacks > 0) lines.push(`read to the last byte: ${counted(readPacks, 'pack')} with ${formatBytes(readBytes)}`);
  if (report === null) {
    if (damaged > 0)
      lines.push(`known as damaged, and healed since: ${counted(damaged, 'object')}; a cleanup forgets it`);
    return [...lines, 'all is well'].join('\n');
  }
  lines.push(`damaged: ${counted(damaged, 'object')}; ${counted(damagedBackups, 'backup')} miss something`);
  if (notedIn !== null) lines.push(`root ${notedIn} says so: the next backup stores again what nodes still have`);
  return lines.join('\n');
}
