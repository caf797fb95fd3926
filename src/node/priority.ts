import { execFileSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { basename } from 'node:path';

/** How a node's work gives way to what else the machine does. */
export interface Priority {
  /** nice(1): 0 as everything else, 19 last. */
  nice: number;
  /** ionice(1); undefined: as everything else. */
  ionice?: Ionice | undefined;
}

/** `idle`, or a level from 0 (first) to 7 (last) of those who do their best. */
export type Ionice = 'idle' | number;

/**
 * Lowers this thread, and with it the threads that it will start: on Linux both are of threads, so heartbeats and leases
 * stay as quick as ever. Answers what could not be done.
 */
export function lowerPriority({ nice, ionice }: Priority): string | undefined {
  try {
    if (nice !== 0) setPriority(0, nice);
    if (ionice === undefined) return undefined;
    const chosen = ionice === 'idle' ? ['-c', '3'] : ['-c', '2', '-n', String(ionice)];
    execFileSync('ionice', [...chosen, '-p', basename(readlinkSync('/proc/thread-self'))], { stdio: 'pipe' });
    return undefined;
  } catch (error) {
    return `the work of the node goes on as it is, nice and ionice cannot be set: ${(error as Error).message}`;
  }
}
