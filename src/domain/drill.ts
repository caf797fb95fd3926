import type { DrilledTree } from './operations.ts';

/** Arithmetic of restore drills. */

/** The scratch directory of a node, in `directory`: of its own where several nodes are on one machine. */
export const drillDirectory = (directory: string, operation: string, node: string): string =>
  `${directory.replace(/\/+$/, '')}/homarus-${operation.replaceAll(/[^\w.-]/g, '_')}/${node}`;

/** Whether a file is in a sample of `percent` of all: the same for the same `seed`, and for half of them with 50. */
export function isInSample(path: string, { percent, seed }: { percent: number; seed: number }): boolean {
  if (percent >= 100) return true;
  // FNV-1a, and the last steps of MurmurHash3, without which alike paths stay alike.
  let hash = 0x811c9dc5 ^ seed;
  for (let place = 0; place < path.length; place++) hash = Math.imul(hash ^ path.charCodeAt(place), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32 < percent / 100;
}

/**
 * How long a restore of all would take, ms: all nodes at once, each as fast as it was here. `total`: bytes of all files of
 * each node of the backup.
 */
export function expectedRestore(trees: readonly DrilledTree[], total: Readonly<Record<string, number>>): number {
  const each = trees.map(({ from, bytes, ms }) => (bytes > 0 ? ms * Math.max(1, (total[from] ?? bytes) / bytes) : ms));
  return Math.round(Math.max(0, ...each));
}
