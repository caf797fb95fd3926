import fs from 'node:fs';
import promises from 'node:fs/promises';
import http from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads';
import type { Watch } from './fileCalls.ts';
import { watchedFileCalls } from './fileCalls.ts';

/**
 * Loaded into real processes and all their threads before anything else (`--import`): counts the changes of the file system
 * and the requests that change an S3 storage, and at the one that the test wants the process signals itself. `HOMARUS_STOP`
 * names a file with an `Order`, which is read when SIGUSR2 comes; beside it, `<file>.taken` then tells what was counted before.
 */

export interface Order {
  signal: 'SIGKILL' | 'SIGSTOP';
  /** At this mutation from now on, from 1, in whatever thread. 0: at none. */
  at?: number;
  /** Or before the first request to the storage whose description has this in it, or the one after the first so many. */
  before?: string;
  after?: number;
  /** Only requests that come after one with this in it. */
  since?: string;
}

const KEY = 'homarus stops';
/** What all threads share: the number of the order, mutations since it came, at which one it says to end, … */
const field = { order: 0, count: 1, at: 2, since: 3, after: 4, hit: 5, woken: 6 } as const;
const own = isMainThread ? new SharedArrayBuffer(28) : (getEnvironmentData(KEY) as unknown as SharedArrayBuffer);
const shared = new Int32Array(own);
if (isMainThread) setEnvironmentData(KEY, own as never);
let order: Order = { signal: 'SIGKILL' };
let known = 0;

const real = { readFileSync: fs.readFileSync, writeFileSync: fs.writeFileSync };
const path = process.env.HOMARUS_STOP as string;
const set = (name: keyof typeof field, value: number): number => Atomics.exchange(shared, field[name], value);
if (isMainThread) {
  process.on('SIGUSR2', () => {
    const { at = 0, after = 0, since } = JSON.parse(real.readFileSync(path, 'utf8')) as Order;
    set('at', at);
    set('after', after);
    set('since', since === undefined ? 1 : 0);
    set('hit', 0);
    set('woken', 0);
    const count = set('count', 0);
    Atomics.add(shared, field.order, 1);
    real.writeFileSync(`${path}.taken`, String(count));
  });
  process.on('SIGCONT', () => {
    set('woken', 1);
    Atomics.notify(shared, field.woken);
  });
}

function reached(what: string, half?: () => unknown): void {
  if (Atomics.add(shared, field.count, 1) + 1 !== Atomics.load(shared, field.at)) return;
  half?.();
  real.writeFileSync(`${path}.hit`, what);
  process.kill(process.pid, 'SIGKILL');
}

function matched(what: string): void {
  const present = Atomics.load(shared, field.order);
  if (present === 0) return;
  if (known !== present) order = JSON.parse(real.readFileSync(path, 'utf8')) as Order;
  known = present;
  const { signal, before, since } = order;
  if (since !== undefined && Atomics.load(shared, field.since) === 0) {
    if (what.includes(since)) set('since', 1);
    return;
  }
  if (before === undefined || !what.includes(before)) return;
  if (Atomics.sub(shared, field.after, 1) > 0 || set('hit', 1) === 1) return;
  real.writeFileSync(`${path}.hit`, what);
  process.kill(process.pid, signal);
  // Another thread than the main one runs on until the signal has reached all.
  if (!isMainThread) Atomics.wait(shared, field.woken, 0);
}

const watch: Watch = {
  sync(what, perform, half) {
    reached(what, half);
    return perform();
  },
  async(what, perform) {
    // What a killed process had under way may be done by half or not: here it is not.
    reached(what);
    return perform();
  },
};
const watched = watchedFileCalls(watch);
Object.assign(fs, watched.fs);
Object.assign(promises, watched.promises);

const { request } = http;
http.request = ((...args: Parameters<typeof request>) => {
  const { method = 'GET', path: to = '' } = args[0] as unknown as http.RequestOptions;
  const what = `${method} ${to}`;
  matched(what);
  if (method !== 'GET' && method !== 'HEAD') reached(what);
  return request(...args);
}) as typeof request;
syncBuiltinESMExports();
