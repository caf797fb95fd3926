import type { BackupEstimate, FileCounts, LeftOutReason, NodeEstimate } from '../domain/results.ts';
import { formatBytes } from '../domain/text.ts';
import { counted, table } from './terminal.ts';

/** What people read of a backup that is only estimated. */

const WHY: Record<LeftOutReason, (count: number) => string> = {
  excluded: (count) => `${counted(count, 'path')} excluded by the configuration`,
  special: (count) => `left out, being FIFOs, sockets or devices: ${count}`,
  unreadable: (count) => `unreadable: ${count}`,
  vanished: (count) => `gone while they were looked at: ${count}`,
};

export function describeEstimate(estimate: BackupEstimate): string {
  const { nodes, missing, files, bytes, added, changed, unchanged, storeAtMost, wouldFail, plugin } = estimate;
  const rows = nodes.map((node) => [
    node.node,
    node.files.toLocaleString('en-US'),
    formatBytes(node.bytes),
    countsOf(node.added),
    countsOf(node.changed),
    countsOf(node.unchanged),
    formatBytes(node.storeAtMost),
  ]);
  const titles = ['node', 'files', 'size', 'new', 'changed', 'unchanged', 'to store, at most'];
  const lines = [
    table(titles, rows, [1, 2, 3, 4, 5, 6]),
    '',
    `a backup would take ${counted(files, 'file')} with ${formatBytes(bytes)}, and read ${formatBytes(added.bytes + changed.bytes)} ` +
      `of them: ${countsOf(added)} new, ${countsOf(changed)} changed, ${countsOf(unchanged)} unchanged`,
    `it would store ${formatBytes(storeAtMost)} at most, before compression: content that is stored already is not stored again`,
  ];
  if (missing.length > 0) lines.push(`it would be partial, without ${missing.join(', ')}`);
  for (const node of nodes) lines.push(...remarksOn(node));
  if (plugin !== 'files') lines.push(`what plugin ${plugin} makes or leaves out when a backup comes is not in it`);
  if (wouldFail.length > 0)
    lines.push(
      `a backup would fail at ${wouldFail.join(', ')}: mend the rights, exclude it, or set onUnreadable: skip`,
    );
  return lines.join('\n');
}

const countsOf = ({ files, bytes }: FileCounts): string => `${files.toLocaleString('en-US')} (${formatBytes(bytes)})`;

function remarksOn({ node, compared, leftOut }: NodeEstimate): string[] {
  const lines = leftOut.map(
    ({ root, why, count, first }) => `node ${node}, root ${root}: ${WHY[why](count)}, the first is "${first}"`,
  );
  if (!compared) lines.push(`node ${node}: there is no former backup to compare with, so all counts as new`);
  return lines;
}
