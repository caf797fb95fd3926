import type { RestorePair } from '../../domain/requests.ts';
import { told } from '../etcd/flow.ts';
import type { KeysRestored } from '../etcd/restoreKeys.ts';
import { defineFlow, onCoordinator, onEveryNode } from '../plugin.ts';

/** What a manifest says of an M3 cluster; placement and namespaces themselves are a stream. */
export interface M3Data {
  environment: string;
  service: string;
  /** Of etcd, decimal: all keys are of this one. */
  revision: string;
  /** SHA-256 of the keys, their values and the revisions of their last changes, hex. */
  digest: string;
  /** By id of node, the id of its instance in the placement. */
  instances: Record<string, string>;
}

/** What a restore makes of the placement. */
export interface TopologyInput {
  data: M3Data;
  pairs: readonly RestorePair[];
  /** Nodes that the backup is without: they keep what they have, and their place. */
  missing: readonly string[];
  dryRun: boolean;
}

const declared = {
  store: onCoordinator<M3Data>(),
  compare: onCoordinator<void, M3Data>(),
  hold: onEveryNode(),
  letGo: onEveryNode(),
  refuseRunning: onEveryNode(),
  restore: onCoordinator<KeysRestored, TopologyInput>(),
  /** That what is stored of etcd can be read, and has the instances of the backup's nodes. */
  readThrough: onCoordinator<void, M3Data>(),
};

/** The files of M3DB's nodes, and of etcd its placement, namespaces and settings. */
export const m3 = defineFlow<typeof declared, M3Data>({
  name: 'm3',
  version: 1,
  activities: declared,
  async backup(steps, run) {
    const data = await run.store();
    await run.hold();
    await steps.snapshot();
    await run.letGo();
    await steps.plan();
    await steps.upload();
    // Files of one placement under another would be found by nobody.
    await run.compare(data);
    await steps.commit({ data });
  },
  async restore({ restore, data, pairs, missing, partial }, run) {
    const topology = { data, pairs, missing };
    await run.refuseRunning();
    // The whole cluster's: a part of its nodes or files leaves it alone. Refused, if at all, before a file is written.
    if (!partial) await run.restore({ ...topology, dryRun: true });
    await restore();
    await run.refuseRunning();
    // Last: until then the old placement stands.
    return partial ? null : told(await run.restore({ ...topology, dryRun: false }), 'were');
  },
  async preview({ data, pairs, missing, partial }, run) {
    return partial ? null : told(await run.restore({ data, pairs, missing, dryRun: true }), 'would be');
  },
  async check({ data, pairs, missing, partial, to, failure }, run) {
    // Elsewhere no etcd belongs to the files, and one node may have those of several.
    if (partial || to !== null) return run.readThrough(data);
    const { put, deleted } = await run.restore({ data, pairs, missing, dryRun: true });
    if (put + deleted === 0) return;
    throw failure(`etcd is not as the restore left it: ${put + deleted} keys differ`, 'Stop what writes to etcd.');
  },
});
