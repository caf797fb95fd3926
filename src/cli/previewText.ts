import type { RestorePair } from '../domain/requests.ts';
import type { RestoreForecast, RestorePreview } from '../domain/results.ts';
import { formatBytes, formatDuration } from '../domain/text.ts';
import { counted, table } from './terminal.ts';

/** What people read of a restore that is planned. */

const HOW: Record<NonNullable<RestorePair['how']>, string> = { id: 'same id', az: 'same zone', map: 'as given' };

export function describePreview(preview: RestorePreview): string {
  const { backup, pairs, missing, files, bytes, kept, fetchBytes, removed, nodes, plugin, expectedMs } = preview;
  const rows = pairs.map(({ from, to, how }) => {
    const node = nodes.find((one) => one.node === to);
    return [to, from, how === undefined ? '' : HOW[how], ...(node ? countsOf(node) : [])];
  });
  const lines = [
    table(['node', 'takes', 'why', 'files', 'right already', 'to fetch', 'to remove', 'space'], rows, [3, 4, 5, 6]),
    '',
    `backup ${backup}: ${counted(files, 'file')} with ${formatBytes(bytes)}; ${kept.toLocaleString('en-US')} are right already, ` +
      `${formatBytes(fetchBytes)} would be fetched, ${removed.toLocaleString('en-US')} removed`,
  ];
  if (expectedMs !== null)
    lines.push(`as the last restore drill went, it would take about ${formatDuration(expectedMs)}`);
  if (missing.length > 0) lines.push(`missing in the backup, and left as they are: ${missing.join(', ')}`);
  lines.push(...wordsOf(plugin));
  for (const { node, space } of nodes) {
    for (const { path, needed, freed, available } of space.filter(isShort)) {
      lines.push(
        `node ${node}: the file system of ${path} is too small: ${formatBytes(needed)} are to be written, ` +
          `${formatBytes(available)} are free${freed > 0 ? ` and ${formatBytes(freed)} that will be removed` : ''}`,
      );
    }
  }
  return lines.join('\n');
}

/** What a plugin says of its part, for people. */
export function wordsOf(plugin: unknown): string[] {
  const { summary } = (plugin ?? {}) as { summary?: unknown };
  return typeof summary === 'string' ? [summary] : [];
}

const countsOf = ({ files, kept, fetchBytes, removed, space }: RestoreForecast): string[] => [
  files.toLocaleString('en-US'),
  kept.toLocaleString('en-US'),
  formatBytes(fetchBytes),
  removed.toLocaleString('en-US'),
  space.some(isShort) ? 'too small' : `${formatBytes(Math.min(...space.map(({ available }) => available)))} free`,
];

const isShort = ({ needed, freed, available }: RestoreForecast['space'][number]): boolean => needed - freed > available;
