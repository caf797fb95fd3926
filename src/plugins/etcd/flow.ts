import { defineFlow, onCoordinator } from '../plugin.ts';
import type { KeysRestored } from './restoreKeys.ts';

/** What a manifest says of an etcd cluster; the keys themselves are a stream. */
export interface EtcdData {
  /** Base64. */
  prefixes: string[];
  leases: 'skip' | 'keep';
  /** All keys are of this one. Decimal. */
  revision: string;
  /** Id of the cluster, decimal. */
  cluster: string;
  /** Version of a server; null when only root is told. */
  server: string | null;
  keys: number;
  /** Of them, or beside them with `skip`, those that hung on a lease. */
  leased: number;
  bytes: number;
  /** The database of one member. */
  member: { bytes: number; sha256: string } | null;
}

const declared = {
  dump: onCoordinator<EtcdData>(),
  restore: onCoordinator<KeysRestored, { data: EtcdData; dryRun: boolean }>(),
  check: onCoordinator<void, { data: EtcdData; live: boolean }>(),
};

/** With words for people. */
export function told(counts: KeysRestored, verb: string): KeysRestored & { summary: string } {
  const { put, deleted, same, named } = counts;
  const first = named.map((change) => `\n  ${change}`).join('');
  const more = put + deleted - named.length;
  const rest = more > 0 ? `\n  and ${more} more` : '';
  return {
    ...counts,
    summary: `etcd: ${put} keys ${verb} put, ${deleted} deleted, ${same} are right already${first}${rest}`,
  };
}

/** Prefixes of an etcd cluster at one revision, and the files of the nodes. */
export const etcd = defineFlow<typeof declared, EtcdData>({
  name: 'etcd',
  version: 1,
  activities: declared,
  async backup(steps, run) {
    const data = await run.dump();
    await steps.snapshot();
    await steps.plan();
    await steps.upload();
    await steps.commit({ data });
  },
  async restore(steps, run) {
    await steps.restore();
    // Keys are the whole cluster's: a part of its nodes or files leaves them alone.
    return steps.partial ? null : told(await run.restore({ data: steps.data, dryRun: false }), 'were');
  },
  async preview(steps, run) {
    return steps.partial ? null : told(await run.restore({ data: steps.data, dryRun: true }), 'would be');
  },
  async check({ data, partial, to }, run) {
    await run.check({ data, live: to === null && !partial });
  },
});
