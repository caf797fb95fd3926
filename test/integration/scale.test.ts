import { expect, test } from '@jest/globals';
import { ScaleCluster } from '../../scale/scale.ts';

/** `npm run scale` in small: what it measures on 200 nodes must be measured at all. docs/sizing.md has the figures. */

const NODES = 12;
/** What Temporal grants: one for each queue of a node, and some for coordinators. */
const POLLS = 2 * NODES + 4;

test('one backup over a dozen light nodes succeeds with one poll for each queue and within the limits that docs/sizing.md names, and a cancelled one unlocks all', async () => {
  const cluster = await ScaleCluster.start(NODES, { polls: POLLS });
  try {
    const { events, largestPayload, pendingActivities } = await cluster.backup();
    // For each node: its part of the lock, its keeper, a snapshot, an upload, its release; three events each and a workflow task.
    expect(events).toBeLessThan(60 + NODES * 25);
    expect(largestPayload).toBeLessThan(4_096 + NODES * 2_048);
    expect(pendingActivities).toBeLessThanOrEqual(2 * NODES + 2);
    await cluster.cancel();
  } finally {
    await cluster.stop();
  }
}, 240_000);
