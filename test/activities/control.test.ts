import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { ControlDeps } from '../../src/activities/control.ts';
import { createControlActivities } from '../../src/activities/control.ts';
import type { Liveness } from '../../src/activities/liveness.ts';
import { HomarusError } from '../../src/domain/errors.ts';
import type { AttemptId } from '../../src/domain/operations.ts';
import { NodeLease } from '../../src/node/lease.ts';

/** A node's part of the lock, where what belongs to it fails. */

const TTL = 60_000;
const attempt: AttemptId = {
  operation: 'backup-1',
  run: 'run/1',
  kind: 'backup',
  by: 'ann',
  since: '2026-01-01T00:00:00Z',
};
const plugin = { name: 'files', version: 1 };
let stateDir: string;
let lease: NodeLease;
let warned: string[];

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'homarus-control-'));
  lease = new NodeLease(stateDir, 'n1');
  warned = [];
});
afterEach(() => {
  lease.close();
  rmSync(stateDir, { recursive: true });
});

const control = (finish: ControlDeps['finish']) =>
  createControlActivities({
    ...{ node: 'n1', host: 'host', incarnation: 'first', lease, plugin, refreshMs: 10, finish },
    liveness: { run: (_, body) => body(new AbortController().signal) } as Liveness,
    refuseRivals: async () => undefined,
    log: (_, message) => warned.push(message),
  });

test('a node on which nothing can be removed is free all the same, and says what it left', async () => {
  const { acquireNode, releaseNode } = control(async () => {
    throw new HomarusError('NoSpace', 'the file system of /state is full');
  });
  await acquireNode({ attempt, ttl: TTL, plugin });
  expect(lease.holder).toEqual(attempt);
  await releaseNode({ attempt, committed: null });
  expect(lease.holder).toBeNull();
  expect(warned).toEqual(['what backup-1 left on the node was not removed: the file system of /state is full']);
});
