import { hostname } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { Poller } from '../client/health.ts';
import { ASKS_WITHIN, controlPollers } from '../client/health.ts';
import { HomarusError } from '../domain/errors.ts';
import type { Log } from '../telemetry.ts';

/** Two machines that claim one node id would take turns at its work: each would back up and restore half of it. */

const LOOK_EVERY = 2_000;

/** What a node's workers call themselves, for Temporal's UI and for each other: `node/n1/1a2b3c4d`, then the process. */
export const nodeRole = (node: string, incarnation: string): string => `node/${node}/${incarnation.slice(0, 8)}`;

/** Who else serves a node, by what Temporal remembers of who asked for its work. Only its clock is compared. */
export class Rivals {
  readonly #client: Client;
  readonly #cluster: string;
  readonly #node: string;
  readonly #role: string;
  /** When those that are gone were seen last. */
  readonly #gone = new Map<string, number>();

  constructor(client: Client, cluster: string, node: string, incarnation: string) {
    this.#client = client;
    this.#cluster = cluster;
    this.#node = node;
    this.#role = nodeRole(node, incarnation);
  }

  /**
   * Before the first poll: `NodeTaken` when another incarnation of the node lives. One that does not ask for work any
   * more, for as long as a living one would need, is gone for good: this one takes over, and the log says so.
   */
  async awaitNone(stop: AbortSignal, log: Log): Promise<void> {
    const first = new Map<string, number>();
    for (const deadline = performance.now() + ASKS_WITHIN; ; ) {
      const others = await this.#others();
      for (const other of others) {
        const seen = first.get(other.worker);
        if (seen === undefined)
          log('warn', `node ${this.#node} was served by ${other.worker}: waiting whether it lives`);
        first.set(other.worker, seen ?? other.seen);
        if (seen !== undefined && other.seen > seen) throw this.#taken(other);
      }
      if (others.length === 0 || performance.now() > deadline) break;
      await pause(LOOK_EVERY, undefined, { signal: stop }).catch(() => undefined);
      if (stop.aborted) return;
    }
    for (const [worker, seen] of first) {
      log('warn', `node ${this.#node} is not served by ${worker} any more: this process takes over`);
      this.#gone.set(worker, seen);
    }
  }

  /** At the lock: `NodeTaken` when another incarnation was started at the same time, so that neither saw the other. */
  async refuse(): Promise<void> {
    const [rival] = (await this.#others()).filter(({ worker, seen }) => seen > (this.#gone.get(worker) ?? 0));
    if (rival) throw this.#taken(rival);
  }

  /** Other incarnations that asked for work of late. A dead process of this machine is none. */
  async #others(): Promise<Poller[]> {
    const all = await controlPollers(this.#client, this.#cluster, this.#node);
    const now = Math.max(...all.map(({ seen }) => seen));
    return all.filter(({ worker, seen }) => {
      const [, role, pid, host] = /^(.*)\/(\d+)@(.*)$/.exec(worker) ?? [];
      if (role === undefined || role === this.#role) return false;
      return now - seen < ASKS_WITHIN && !(host === hostname() && isDead(Number(pid)));
    });
  }

  #taken({ worker }: Poller): HomarusError {
    const mine = `${this.#role}/${process.pid}@${hostname()}`;
    return new HomarusError('NodeTaken', `node ${this.#node} is served by two machines: ${mine} and ${worker}`, {
      hint: 'Stop one of them or correct its node id; one that was stopped is forgotten within three minutes.',
    });
  }
}

function isDead(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
