import type { NodeProgress } from './operations.ts';
import { formatBytes, formatRate } from './text.ts';

/** What a node is at, in a line: `a2: 61 % of 12.4 GiB, 210 MiB/s, tables/t1`. */
export function progressText(node: string, { bytesDone, bytesTotal, filesDone, rate, at }: NodeProgress): string {
  const parts =
    bytesTotal > 0
      ? [`${Math.floor((Math.min(bytesDone, bytesTotal) / bytesTotal) * 100)} % of ${formatBytes(bytesTotal)}`]
      : bytesDone > 0
        ? [formatBytes(bytesDone)]
        : [];
  if (parts.length === 0 && filesDone > 0) parts.push(`${filesDone.toLocaleString('en-US')} files`);
  if (rate > 0) parts.push(formatRate(rate));
  if (at !== '') parts.push(at);
  return `${node}: ${parts.join(', ')}`;
}
