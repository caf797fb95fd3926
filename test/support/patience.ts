import { execFileSync } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';

/** Longer than anything takes on a busy machine, ms: what lasts longer will not come. */
const PATIENCE = 300_000;

export interface Patience {
  /** Looked so often, ms. */
  every?: number;
  within?: number;
}

/** Looks until there is something, and fails by the name of what did not come. */
export async function comes<T>(
  what: () => string,
  look: () => Promise<T | undefined> | T | undefined,
  { every = 50, within = PATIENCE }: Patience = {},
): Promise<T> {
  for (const deadline = performance.now() + within; ; await pause(every)) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`waited ${within / 1000} s for ${what()}`);
  }
}

/** Waits for what must end; `givenUp` is called when it does not. */
export async function ends<T>(
  what: () => string,
  ending: Promise<T>,
  givenUp: () => void = () => undefined,
): Promise<T> {
  const timer = Promise.withResolvers<never>();
  const late = setTimeout(() => {
    timer.reject(new Error(`waited ${PATIENCE / 1000} s for ${what()}`));
    givenUp();
  }, PATIENCE);
  try {
    return await Promise.race([ending, timer.promise]);
  } finally {
    clearTimeout(late);
  }
}

/** What a process is doing, as `ps` says it: `T` when it is stopped, empty when it is gone. */
export function processState(pid: number): string {
  try {
    return execFileSync('ps', ['-o', 'stat=', '-p', `${pid}`], { encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}
