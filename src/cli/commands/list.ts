import type { BackupDetails, ListedBackup } from '../../client/reading.ts';
import { listBackups, showBackup } from '../../client/reading.ts';
import { formatBytes, formatDuration } from '../../domain/text.ts';
import type { Spec } from '../command.ts';
import { storageOption } from '../options.ts';
import { counted, table } from '../terminal.ts';

export const list: Spec<{ storage?: string }> = {
  usage: 'list',
  summary: 'Show the backups of a storage, newest first',
  options: [storageOption()],
  example: 'homarus list',
  async run(context, { storage }) {
    const reading = await context.reading(storage, { anyCluster: true });
    const backups = await listBackups(reading);
    const { cluster, aside = [] } = reading.at.root;
    for (const { name, why } of aside) context.output.note(`set aside by a repair: backup ${name}: ${why}`);
    const text = backups.length > 0 ? backupTable(backups) : `there is no backup of cluster ${cluster} yet`;
    return {
      result: { cluster, storage: await context.storageName(storage), backups, ...(aside.length > 0 ? { aside } : {}) },
      text,
    };
  },
};

export const show: Spec<{ storage?: string }, [string]> = {
  usage: 'show <backup>',
  summary: 'Show what a backup holds: nodes, data roots, files, bytes',
  options: [storageOption()],
  example: 'homarus show latest',
  async run(context, { storage }, wanted) {
    const reading = await context.reading(storage, { anyCluster: true });
    const backup = await showBackup(reading, wanted);
    return { result: backup, text: describe(backup) };
  },
};

const pinOf = ({ pinned, pinnedUntil }: Pick<ListedBackup, 'pinned' | 'pinnedUntil'>): string =>
  pinned ? `pinned${pinnedUntil === null ? '' : ` until ${pinnedUntil}`}` : '';

function drillOf({ drill }: ListedBackup): string {
  if (drill === null) return '';
  const day = drill.at.slice(0, 10);
  return drill.ok ? `drilled ${day}, restore about ${formatDuration(drill.expectedMs)}` : `drill of ${day} failed`;
}

function describeDrill({ drill }: Pick<ListedBackup, 'drill'>): string {
  if (drill === null) return '-';
  const { at, by, ok, reason, percent, tookMs, expectedMs, checked } = drill;
  if (!ok) return `failed at ${at} (asked by ${by}): ${reason ?? ''}`;
  const check = checked ? ", the plugin's check passed" : '';
  return `${percent} % of the files at ${at} in ${formatDuration(tookMs)}${check}; all of it about ${formatDuration(expectedMs)}`;
}

function backupTable(backups: readonly ListedBackup[]): string {
  const rows = backups.map((entry) => [
    entry.name,
    String(entry.nodes),
    entry.files.toLocaleString('en-US'),
    formatBytes(entry.bytes),
    formatBytes(entry.stored),
    [pinOf(entry), entry.partial ? `without ${entry.partial.join(', ')}` : '', drillOf(entry)]
      .filter(Boolean)
      .join(', '),
    entry.label,
  ]);
  return table(['backup', 'nodes', 'files', 'size', 'added', 'notes', 'label'], rows, [1, 2, 3, 4]);
}

function describe({ manifest, ...entry }: BackupDetails): string {
  const fields = [
    ['backup', entry.name],
    ['label', entry.label || '-'],
    ['pinned', pinOf(entry) || 'no'],
    ['cluster', manifest.cluster],
    ['plugin', manifest.plugin.name],
    ['started', manifest.started],
    ['finished', manifest.finished],
    ['attempt', String(manifest.attempt)],
    ['size', `${counted(entry.files, 'file')}, ${formatBytes(entry.bytes)}`],
    ['added', `${formatBytes(entry.added)}, stored as ${formatBytes(entry.stored)}`],
    ['streams', manifest.streams.map(({ name, bytes }) => `${name} (${formatBytes(bytes)})`).join(', ') || '-'],
    ['drill', describeDrill(entry)],
    ['missing', entry.partial ? `${entry.partial.join(', ')} (it is partial)` : '-'],
  ];
  const rows = manifest.nodes.flatMap((node) =>
    node.roots.map(({ name, totals, skipped, vanished, snapshotAt }) => [
      node.id,
      node.az || '-',
      node.host,
      name,
      totals.files.toLocaleString('en-US'),
      formatBytes(totals.bytes),
      String(skipped),
      String(vanished),
      snapshotAt,
    ]),
  );
  const titles = ['node', 'az', 'host', 'root', 'files', 'size', 'skipped', 'vanished', 'snapshot'];
  const lines = fields.map(([name = '', value = '']) => `${`${name}:`.padEnd(10)} ${value}`);
  return [...lines, '', table(titles, rows, [4, 5, 6, 7])].join('\n');
}
