import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { TestCluster } from '../support/cluster.ts';
import { faultyCluster, gets, give, listed, PATIENCE, puts, unlocked } from '../support/faults.ts';
import { comes } from '../support/patience.ts';
import type { Asked, Hold } from '../support/storageFront.ts';

/** Operations that an operator ends from Temporal's own command line, in each of their phases. */

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await faultyCluster();
  for (let backups = 0; backups < 2; backups++) await cluster.does('backup');
}, PATIENCE);
afterAll(() => cluster?.stop(), PATIENCE);

interface Moment {
  operation: string[];
  /** The request with which the operation is in the phase: it waits there. */
  at: (asked: Asked) => boolean;
}

const backup = ['backup'];
const moments: Record<string, Moment> = {
  'takes the lock': { operation: backup, at: puts('coordinator', 'roots/') },
  'takes snapshots': { operation: backup, at: puts('n2', 'staging/') },
  plans: { operation: backup, at: gets('coordinator', 'staging/') },
  uploads: { operation: backup, at: puts('n2', 'packs/') },
  commits: { operation: backup, at: puts('coordinator', 'manifests/') },
  restores: { operation: ['restore', 'latest', '--verify-existing', '--yes'], at: gets('n2', 'packs/') },
  'cleans up': { operation: ['cleanup', '--keep-last', '1', '--yes'], at: puts('coordinator', 'indexes/') },
};
const all = Object.keys(moments);
/** Those that differ most; all with HOMARUS_LONG. */
const some = process.env.HOMARUS_LONG ? all : ['takes snapshots', 'uploads', 'commits', 'restores'];

async function given(moment: string): Promise<{ id: string; hold: Hold; before: string[] }> {
  const { operation, at } = moments[moment] as Moment;
  if (operation === backup) give(cluster, 'n2');
  if (moment === 'cleans up') {
    // Of the index that the first of these adds, what is of one node stays, and what is of the other goes.
    give(cluster, 'n1', 'n2');
    await cluster.does('backup');
    give(cluster, 'n2');
    await cluster.does('backup');
  }
  const before = await listed(cluster);
  const hold = cluster.front.hold(at);
  const id = await cluster.begins(...operation);
  await hold.met;
  return { id, hold, before };
}

/** A backup is listed exactly when its operation says that it succeeded. */
async function honest(kind: string, state: string, before: readonly string[]): Promise<void> {
  const added = (await listed(cluster)).filter((name) => !before.includes(name));
  expect(added).toHaveLength(kind === 'backup' && state === 'succeeded' ? 1 : 0);
}

const asksNoMore = async (at: (asked: Asked) => boolean): Promise<void> => {
  while (cluster.front.asked.some((asked) => at(asked) && asked.went === undefined)) await pause(50);
};

/** Waits until the workflow has taken its cancellation up, and an activity of it has heard of what it was to hear since. */
async function heardOf(id: string, activity: string): Promise<void> {
  const handle = cluster.client.workflow.getHandle(id);
  await comes(
    () => `${id} to take its cancellation up`,
    async () => {
      const { events } = await handle.fetchHistory();
      const asked = events?.findIndex((event) => event.workflowExecutionCancelRequestedEventAttributes) ?? -1;
      return (
        (asked >= 0 && events?.slice(asked).some((event) => event.workflowTaskCompletedEventAttributes)) || undefined
      );
    },
  );
  const beats = new Set<string>();
  await comes(
    () => `${activity} to be heard of`,
    async () => {
      const { pendingActivities } = (await handle.describe()).raw;
      const found = pendingActivities?.find(({ activityType }) => activityType?.name === activity);
      if (found === undefined) return true;
      beats.add(JSON.stringify(found.lastHeartbeatTime));
      // The second that is seen may have been under way; the third was answered with what there was to say.
      return beats.size >= 3 || undefined;
    },
  );
}

describe('an operation that is cancelled while it', () => {
  test.each(all)(
    '%s stops, and nothing is locked when it has ended',
    async (moment) => {
      const { id, hold, before } = await given(moment);
      await cluster.temporalCli('workflow', 'cancel', '--workflow-id', id);
      // A commit that was sent is awaited; everything else stops though the storage does not answer.
      if (moment === 'commits') {
        await heardOf(id, 'commitBackup');
        // And its lock is kept meanwhile.
        const refreshes = cluster.front.meet(puts('coordinator', 'leases/'), 'pass');
        await comes(
          () => 'the lease to be refreshed twice',
          () => refreshes.count >= 2 || undefined,
        );
        refreshes.lift();
        hold.letGo();
      }
      const { state, kind } = await cluster.end(id);
      expect(state).toBe(moment === 'commits' ? 'succeeded' : 'cancelled');
      hold.letGo();
      expect(await cluster.locked()).toEqual({});
      await honest(kind, state, before);
    },
    PATIENCE,
  );
});

describe('an operation that is terminated while it', () => {
  test.each(some)(
    '%s is worked on no more, and what it had locked is free after the lock’s time',
    async (moment) => {
      const { id, hold, before } = await given(moment);
      await cluster.temporalCli('workflow', 'terminate', '--workflow-id', id, '--reason', 'test');
      // By itself: nobody lets go of what it waits for.
      await asksNoMore((moments[moment] as Moment).at);
      hold.letGo();
      const { kind, state } = await cluster.end(id);
      await honest(kind, state, before);
      await unlockedByItself();
    },
    PATIENCE,
  );
});

describe.each(['FirstWorkflowTask', 'LastWorkflowTask'])('an operation that is reset to its %s while it', (type) => {
  test.each(some)(
    '%s ends well, or has lost its lock, and nothing is locked when it has ended',
    async (moment) => {
      const { id, hold, before } = await given(moment);
      await cluster.temporalCli('workflow', 'reset', '--workflow-id', id, '--type', type, '--reason', 'test');
      hold.letGo();
      const ended = await cluster.end(id);
      if (ended.state !== 'succeeded') expect(ended).toMatchObject({ state: 'failed', error: { code: 'LockLost' } });
      expect(await cluster.locked()).toEqual({});
      // The run that was reset may have sent its commit already: then its backup exists, whole, beside the new run's.
      const twice = moment === 'commits' && type === 'FirstWorkflowTask';
      const added = (await listed(cluster)).filter((name) => !before.includes(name));
      if (ended.kind !== 'backup' || !twice) await honest(ended.kind, ended.state, before);
      else if (ended.state === 'succeeded') expect(added).toContain((ended.result as { backup: string }).backup);
    },
    PATIENCE,
  );
});

/** The next operation waits for no more than the lock's time, and works. */
async function unlockedByItself(): Promise<void> {
  await cluster.does('backup', '--wait-for-lock', '1m');
  await unlocked(cluster);
}
