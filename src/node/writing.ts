import * as fs from 'node:fs';
import type { StopFlag } from './threads.ts';

/**
 * The file calls with which a job changes a node's data: each asks first whether the lease under which its thread works
 * still runs. A process that was stopped for long and wakes finishes the call it was in, and changes nothing more. What
 * removes a job's own temporary files asks `lostItsLock`: the next job removes what is left.
 */

let flag: StopFlag | undefined;

/** All that this thread writes from now on it writes under this flag. */
export function writeUnder(stop: StopFlag): void {
  flag = stop;
}

export const lostItsLock = (): boolean => flag?.lost ?? false;

function asking<F extends (...args: never[]) => unknown>(call: F): F {
  return ((...args: Parameters<F>) => {
    flag?.throwIfLost();
    return call(...args);
  }) as F;
}

export const chmodSync = asking(fs.chmodSync);
export const fchmodSync = asking(fs.fchmodSync);
export const fchownSync = asking(fs.fchownSync);
export const ftruncateSync = asking(fs.ftruncateSync);
export const futimesSync = asking(fs.futimesSync);
export const lchownSync = asking(fs.lchownSync);
export const linkSync = asking(fs.linkSync);
export const lutimesSync = asking(fs.lutimesSync);
export const mkdirSync = asking(fs.mkdirSync);
export const openSync = asking(fs.openSync);
export const renameSync = asking(fs.renameSync);
export const rmdirSync = asking(fs.rmdirSync);
export const rmSync = asking(fs.rmSync);
export const symlinkSync = asking(fs.symlinkSync);
export const unlinkSync = asking(fs.unlinkSync);
export const writeFileSync = asking(fs.writeFileSync);
export const writeSync = asking(fs.writeSync);
