import { join } from 'node:path';
import type { TestCluster } from '../test/support/cluster.ts';
import { canMount, SmallDisk } from '../test/support/smallDisk.ts';

/** Room for far more than a run needs, bytes. Only what is there takes memory. */
const SIZE = 4 * 1024 ** 3;

/**
 * File systems in memory that run full: of the storage, of each node's root, and one of the state of all processes. Where
 * nobody may mount there are none.
 */
export class Disks {
  readonly there = canMount() || process.env.CI === 'true';
  readonly #disks = new Map<string, SmallDisk>();

  mount(cluster: TestCluster): void {
    if (!this.there) return;
    const places: [string, string][] = [
      ['storage', join(cluster.directory, 's3')],
      ['state', join(cluster.directory, 'state')],
      ...cluster.nodes.map((node): [string, string] => [node, cluster.root(node)]),
    ];
    for (const [target, path] of places) this.#disks.set(target, new SmallDisk(SIZE, 1_000_000, path));
  }

  /** Answers how to give it room again. */
  fill(target: string): () => void {
    return (this.#disks.get(target) as SmallDisk).shrink();
  }

  unmount(): void {
    for (const disk of this.#disks.values()) disk.unmount();
  }
}
