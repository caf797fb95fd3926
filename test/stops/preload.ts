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
  /** Or before the first call in the main thread whose description has this in it, and those after the first so many. */
  before?: string;
  after?: number;
  /** Only calls that come after one with this in it. */
  since?: string;
}

const KEY = 'homarus stops';
const COUNT = 0;
const AT = 1;
const own = isMainThread ? new SharedArrayBuffer(8) : (getEnvironmentData(KEY) as unknown as SharedArrayBuffer);
const shared = new Int32Array(own);
if (isMainThread) setEnvironmentData(KEY, own as never);
let order: Order = { signal: 'SIGKILL' };

const real = { readFileSync: fs.readFileSync, writeFileSync: fs.writeFileSync };
const path = process.env.HOMARUS_STOP as string;
if (isMainThread) {
  process.on('SIGUSR2', () => {
    order = JSON.parse(real.readFileSync(path, 'utf8')) as Order;
    Atomics.store(shared, AT, order.at ?? 0);
    real.writeFileSync(`${path}.taken`, String(Atomics.exchange(shared, COUNT, 0)));
  });
}

function reached(what: string, half?: () => unknown): void {
  if (Atomics.add(shared, COUNT, 1) + 1 !== Atomics.load(shared, AT)) return;
  half?.();
  real.writeFileSync(`${path}.hit`, what);
  process.kill(process.pid, 'SIGKILL');
}

function matched(what: string): void {
  if (order.since !== undefined) {
    if (what.includes(order.since)) delete order.since;
    return;
  }
  if (order.before === undefined || !what.includes(order.before)) return;
  order.after = (order.after ?? 0) - 1;
  if (order.after >= 0) return;
  const { signal } = order;
  order = { signal };
  real.writeFileSync(`${path}.hit`, what);
  process.kill(process.pid, signal);
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
