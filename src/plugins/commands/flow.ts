import { defineFlow, onEveryNode } from '../plugin.ts';

/** Names of the moments at which commands run. */
export interface At {
  /** The node that runs what is meant for one node, whichever. */
  first: string;
}

/** Any database: commands of the operator's around the snapshot and the restore of its files. */
export const commands = defineFlow({
  name: 'commands',
  version: 1,
  activities: {
    beforeSnapshot: onEveryNode<void, At>(),
    afterSnapshot: onEveryNode<void, At>(),
    beforeRestore: onEveryNode<void, At>(),
    afterRestore: onEveryNode<void, At>(),
    check: onEveryNode<void, At>(),
  },
  async backup(steps, run) {
    const at = { first: steps.nodes[0] ?? '' };
    await run.beforeSnapshot(at);
    await steps.snapshot();
    // When this is not reached, each node does it by itself: see `cleanUp` in activities.ts.
    await run.afterSnapshot(at);
    await steps.plan();
    await steps.upload();
    await steps.commit({ data: null });
  },
  async restore(steps, run) {
    const at = { first: steps.nodes[0] ?? '' };
    await run.beforeRestore(at);
    await steps.restore();
    await run.afterRestore(at);
  },
  async check({ nodes }, run) {
    await run.check({ first: nodes[0] ?? '' });
  },
});
