import type { ActivityOptions } from '@temporalio/workflow';
import { ActivityCancellationType } from '@temporalio/workflow';
import type { LockTimes } from '../domain/operations.ts';

/**
 * Time-outs and retries of all activities: the one table.
 *
 * WAIT_CANCELLATION_COMPLETED everywhere but for the keepers: a lock is released only when the work under it has
 * confirmed that it stopped. An activity is tried again while that can help (`errors.ts`, retry: activity); everything
 * else is the operation's next attempt, or its end.
 */
const WAIT = { cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED };

/** Ours say themselves whether they can be retried (`activities/boundary.ts`); this is the SDK's. */
const nonRetryableErrorTypes = ['PayloadsTooLarge'];

/** No single activity is expected to take longer; the heartbeat finds the dead ones long before. */
const LONGEST = '30 days';

/** Of long work: restarts of its worker. */
const TRIES = 10;

/** A storage that did not answer for the whole of its configured patience is told at once. */
const storagePatienceIsOver = [...nonRetryableErrorTypes, 'StoreUnreachable'];

/** Short, on the coordinators' queue: the storage's part of the lock. */
export const coordinatorStep: ActivityOptions = {
  ...WAIT,
  startToCloseTimeout: LONGEST,
  heartbeatTimeout: '10s',
  retry: {
    initialInterval: '500ms',
    maximumInterval: '5s',
    nonRetryableErrorTypes: storagePatienceIsOver,
  },
};

/** Long, on the coordinators' queue: plan, commit, cleanup. */
export const coordinatorWork = (lock: LockTimes): ActivityOptions => ({
  ...WAIT,
  startToCloseTimeout: LONGEST,
  heartbeatTimeout: lock.heartbeat,
  retry: { initialInterval: '1s', maximumInterval: '30s', maximumAttempts: TRIES, nonRetryableErrorTypes },
});

/** A node that does not take its part of the lock within this time is down. */
export const NODE_ANSWERS_WITHIN = 10_000;

export const acquireNodeOptions: ActivityOptions = {
  ...WAIT,
  scheduleToStartTimeout: NODE_ANSWERS_WITHIN,
  startToCloseTimeout: '10s',
  retry: { initialInterval: '500ms', maximumAttempts: 2, nonRetryableErrorTypes },
};

/**
 * Keepers refresh until they are told to end. TRY_CANCEL: the release need not wait for their next heartbeat, and a
 * refresh that comes once more after it never re-creates a lock. A node that does not take its keeper up again within
 * the lock's time has lost it.
 */
export const keeper = (lock: LockTimes): ActivityOptions => ({
  cancellationType: ActivityCancellationType.TRY_CANCEL,
  scheduleToStartTimeout: lock.ttl,
  startToCloseTimeout: LONGEST,
  heartbeatTimeout: lock.heartbeat,
  retry: { initialInterval: '1s', backoffCoefficient: 1, nonRetryableErrorTypes },
});

/** Snapshot, upload, restore. That a node is gone is the keeper's finding; what was stored or restored is there for the next attempt. */
export const nodeWork = (lock: LockTimes): ActivityOptions => ({
  ...WAIT,
  startToCloseTimeout: LONGEST,
  heartbeatTimeout: lock.heartbeat,
  retry: {
    initialInterval: '1s',
    maximumInterval: '30s',
    maximumAttempts: TRIES,
    nonRetryableErrorTypes: storagePatienceIsOver,
  },
});

/** A share of a verify, a preview: a node that does not take it up in time leaves it to others, or is told as down. */
export const onlyReadingOptions = (lock: LockTimes): ActivityOptions => ({
  ...nodeWork(lock),
  scheduleToStartTimeout: 3 * NODE_ANSWERS_WITHIN,
});

/** Who does not answer is told again for hours, each time later. */
export const noticeOptions: ActivityOptions = {
  ...WAIT,
  scheduleToCloseTimeout: '6h',
  startToCloseTimeout: '5m',
  heartbeatTimeout: '10s',
  retry: { initialInterval: '1s', backoffCoefficient: 3, maximumInterval: '15m', nonRetryableErrorTypes },
};

/** A node that stays silent for its lease's time counts as stopped. */
export const releaseNodeOptions = (lock: LockTimes): ActivityOptions => ({
  ...WAIT,
  scheduleToCloseTimeout: lock.ttl + lock.heartbeat,
  scheduleToStartTimeout: lock.ttl,
  startToCloseTimeout: LONGEST,
  heartbeatTimeout: lock.heartbeat,
  retry: { initialInterval: '500ms', maximumInterval: '5s', nonRetryableErrorTypes },
});

export const releaseStorageOptions = (lock: LockTimes): ActivityOptions => ({
  ...coordinatorStep,
  scheduleToCloseTimeout: 2 * lock.ttl,
  retry: { initialInterval: '500ms', maximumInterval: '5s', nonRetryableErrorTypes },
});

/** Pause before attempt `next` (2, 3, …), ms. */
export const pauseBefore = (next: number): number => Math.min(60_000, 2_000 * 2 ** (next - 2));
