import { execFileSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { getPriority } from 'node:os';
import { basename } from 'node:path';
import { threadId } from 'node:worker_threads';
import type { JobContext } from '../../src/node/job.ts';

/** Jobs whose thread can be told apart, and that end in every way. */
let held: Buffer | undefined;

export const jobs = {
  where: () => threadId,
  priority() {
    const thread = basename(readlinkSync('/proc/thread-self'));
    return `${getPriority(0)}, ${execFileSync('ionice', ['-p', thread], { encoding: 'utf8' }).trim()}`;
  },
  fail() {
    throw Object.assign(new Error('no more space'), { code: 'ENOSPC' });
  },
  die: () => process.exit(3),
  hoard(bytes: { bytes: number }) {
    held = Buffer.alloc(bytes.bytes, 1);
    return held.length;
  },
  wait: (_: unknown, { signal }: JobContext) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
  spin(_: unknown, { throwIfStopped }: JobContext) {
    for (;;) throwIfStopped();
  },
};
