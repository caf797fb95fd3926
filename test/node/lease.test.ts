import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { HomarusError } from '../../src/domain/errors.ts';
import type { AttemptId, NodeGrant } from '../../src/domain/operations.ts';
import type { Clocks } from '../../src/node/lease.ts';
import { NodeLease } from '../../src/node/lease.ts';
import { monotonic, StopFlag } from '../../src/node/threads.ts';

const TTL = 120_000;
let directory: string;
let now: { monotonic: number; wall: number };
let leases: NodeLease[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'homarus-lease-'));
  now = { monotonic: 1_000, wall: 1_700_000_000_000 };
  leases = [];
});
afterEach(() => {
  for (const lease of leases) lease.close();
  rmSync(directory, { recursive: true });
});

const clocks: Clocks = { monotonic: () => now.monotonic, wall: () => now.wall };
const pass = (ms: number): void => {
  now.monotonic += ms;
  now.wall += ms;
};
function started(): NodeLease {
  const lease = new NodeLease(directory, 'n1', { clocks });
  leases.push(lease);
  return lease;
}
const attempt = (operation: string, run = `${operation}/1`): AttemptId => ({
  operation,
  run,
  kind: 'backup',
  by: 'ann',
  since: '2026-11-24T03:00:00.000Z',
});
const granted = async (lease: NodeLease, to: AttemptId): Promise<NodeGrant> => ({
  attempt: to,
  node: 'n1',
  grant: await lease.acquire(to, TTL),
  host: 'h',
  incarnation: 'i',
  ttl: TTL,
});

describe('the lease of a node', () => {
  test('is refused to a second operation, naming the holder and since when', async () => {
    const lease = started();
    await lease.acquire(attempt('backup-1'), TTL);
    await expect(lease.acquire(attempt('backup-2'), TTL)).rejects.toMatchObject({
      code: 'LockHeld',
      message: 'node n1 is locked by backup backup-1 since 2026-11-24T03:00:00.000Z by ann',
    });
  });

  test('is granted again to the attempt that holds it, under the same number', async () => {
    const lease = started();
    const first = await lease.acquire(attempt('backup-1'), TTL);
    expect(await lease.acquire(attempt('backup-1'), TTL)).toBe(first);
  });

  test('counts every grant up, over restarts too', async () => {
    const first = await granted(started(), attempt('backup-1'));
    await started().release(first.attempt);
    const second = await granted(started(), attempt('backup-2'));
    expect(second.grant).toBe(first.grant + 1);
  });

  test('is free when it was not refreshed for its time', async () => {
    const lease = started();
    const grant = await granted(lease, attempt('backup-1'));
    pass(TTL - 1);
    lease.refresh(grant);
    pass(TTL);
    expect(() => lease.refresh(grant)).toThrow(expect.objectContaining({ code: 'LockLost' }));
    await expect(lease.acquire(attempt('backup-2'), TTL)).resolves.toBe(grant.grant + 1);
  });

  test('is taken up again by a restarted process within its time, and not after it', async () => {
    const grant = await granted(started(), attempt('backup-1'));
    pass(TTL / 2);
    const restarted = started();
    restarted.refresh(grant);
    pass(TTL + 1);
    expect(() => started().refresh(grant)).toThrow(expect.objectContaining({ code: 'LockLost' }));
  });

  test('never outlives its time after a restart because the wall clock jumped back', async () => {
    const grant = await granted(started(), attempt('backup-1'));
    now.wall -= 3_600_000;
    const restarted = started();
    restarted.check(grant);
    now.monotonic += TTL;
    expect(() => restarted.check(grant)).toThrow(expect.objectContaining({ code: 'LockLost' }));
  });

  test('is not created anew by a refresh that comes after the release', async () => {
    const lease = started();
    const grant = await granted(lease, attempt('backup-1'));
    await lease.release(grant.attempt);
    expect(lease.refresh(grant)).toBe('released');
    expect(() => lease.check(grant)).toThrow(expect.objectContaining({ code: 'LockLost' }));
    expect(started().holder).toBeNull();
  });

  test('is not released by an attempt that does not hold it', async () => {
    const lease = started();
    const grant = await granted(lease, attempt('backup-1'));
    expect(await lease.release(attempt('backup-1', 'backup-1/2'))).toBe(false);
    lease.check(grant);
  });

  test('refuses work that bears an older grant', async () => {
    const lease = started();
    const older = await granted(lease, attempt('backup-1'));
    pass(TTL);
    await granted(lease, attempt('backup-2'));
    await expect(lease.run(older, async () => 'done')).rejects.toMatchObject({ code: 'LockLost' });
  });

  test('refuses work under a grant that was given back, though the same attempt holds the next one', async () => {
    const lease = started();
    const older = await granted(lease, attempt('backup-1'));
    await lease.release(attempt('backup-1'));
    const newer = await granted(lease, attempt('backup-1'));
    expect(newer.grant).toBeGreaterThan(older.grant);
    await expect(lease.run(older, async () => 'done')).rejects.toMatchObject({ code: 'LockLost' });
    expect(() => lease.refresh(older)).toThrow('grant 1 is not valid any more; backup backup-1 holds it now');
    expect(lease.refresh(newer)).toBe('refreshed');
  });

  test('stops the work of an older attempt and awaits its end before it grants the node to a newer one', async () => {
    const lease = started();
    const older = await granted(lease, attempt('backup-1'));
    const events: string[] = [];
    const work = lease.run(older, async ({ signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      await new Promise((resolve) => setImmediate(resolve));
      events.push('older work ended');
      throw signal.reason;
    });
    const outcome = expect(work).rejects.toMatchObject({ code: 'LockLost' });
    pass(TTL);
    await granted(lease, attempt('backup-2'));
    events.push('granted');
    await outcome;
    expect(events).toEqual(['older work ended', 'granted']);
  });

  test('gives work its deadline in memory that threads look at, put off by each refresh, but not by the grant of another', async () => {
    // Time is the machine's here, as it is for threads.
    const lease = started();
    const soon = (left: number): void => {
      now.monotonic = monotonic() - TTL + left;
    };
    soon(-1);
    const older = await granted(lease, attempt('backup-1'));
    const ended = Promise.withResolvers<void>();
    let flag = new StopFlag();
    const work = lease.run(older, (under) => {
      ({ flag } = under);
      return ended.promise;
    });
    expect(flag.lost).toBe(true);
    soon(60_000);
    lease.refresh(older);
    expect(flag.lost).toBe(false);
    soon(-1);
    lease.refresh(older);
    soon(60_000);
    const next = granted(lease, { ...attempt('backup-1', 'backup-1/2') });
    expect(flag.lost).toBe(true);
    ended.resolve();
    await Promise.all([work, next]);
  });

  test('says why work was stopped, though a thread saw it before its timer', async () => {
    const told: string[] = [];
    const lease = new NodeLease(directory, 'n1', { clocks, onLost: ({ message }) => told.push(message) });
    leases.push(lease);
    const grant = await granted(lease, attempt('backup-1'));
    const work = lease.run(grant, async () => {
      pass(TTL);
      throw new HomarusError('LockLost', 'the lease of this node ran out while it worked');
    });
    await expect(work).rejects.toMatchObject({ code: 'LockLost' });
    expect(told).toEqual(['node n1: its lease was not refreshed for 120 s']);
  });

  test('is not put off by a refresh that was asked before the process slept', async () => {
    const lease = started();
    const grant = await granted(lease, attempt('backup-1'));
    const read = clocks.monotonic;
    let looks = 0;
    // Stopped for an hour right after it had looked at the clock.
    clocks.monotonic = () => {
      const at = read();
      if (looks++ === 0) pass(3_600_000);
      return at;
    };
    try {
      lease.refresh(grant);
    } finally {
      clocks.monotonic = read;
    }
    expect(() => lease.check(grant)).toThrow(expect.objectContaining({ code: 'LockLost' }));
  });
});
