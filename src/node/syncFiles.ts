import { execFile } from 'node:child_process';
import { closeSync, constants, fsyncSync, openSync } from 'node:fs';
import { promisify } from 'node:util';
import { fileAt, parentOf } from './bytePath.ts';
import type { RestoreRoot } from './compareTarget.ts';
import type { RestorePlan } from './restorePlan.ts';
import { decodePlanned } from './restorePlan.ts';

/**
 * Brings all that a restore wrote to the disk: by one sync of the file system, which Node does not have, so through the
 * command `sync -f`; where that does not work, file by file.
 */
export async function syncRestored(plan: RestorePlan, roots: readonly RestoreRoot[]): Promise<void> {
  try {
    for (const { target } of roots) {
      await promisify(execFile)('sync', ['-f', Buffer.from(target.root, 'latin1').toString('utf8')]);
    }
  } catch {
    syncEach(plan, roots);
  }
}

function syncEach(plan: RestorePlan, roots: readonly RestoreRoot[]): void {
  for (const spool of [plan.files, plan.mends, plan.directories]) {
    for (const frame of spool.forward()) {
      const { root, row } = decodePlanned(frame);
      sync(fileAt((roots[root] as RestoreRoot).target.root, row.path));
    }
  }
  for (const frame of plan.links.forward()) {
    const { root, row } = decodePlanned(frame);
    sync(fileAt((roots[root] as RestoreRoot).target.root, parentOf(row.path)));
  }
}

function sync(path: Buffer): void {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
