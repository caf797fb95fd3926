import { hostname } from 'node:os';
import type { Client } from '@temporalio/client';
import type { Connected, TemporalTarget } from '../client/connect.ts';
import { connectTemporal } from '../client/connect.ts';
import { coordinatorsOf, listOperations, nodesOf } from '../client/health.ts';
import {
  askToUnlock,
  cancelOperation,
  operationId,
  startOnce,
  startOperation,
  whenLocked,
} from '../client/operations.ts';
import { operationStatus } from '../client/progress.ts';
import { listSchedules, pauseSchedule, resumeSchedule, triggerSchedule } from '../client/schedules.ts';
import type { NodeInfo } from '../domain/cluster.ts';
import { HomarusError } from '../domain/errors.ts';
import type { TemporalDoor } from './deps.ts';

/** Nobody waits longer for Temporal, ms. */
const PATIENCE = 4_500;

/** A node that is down is found out within 20 s, ms. */
const LOCKED_WITHIN = 30_000;

export interface OpenDoor extends TemporalDoor {
  close(): Promise<void>;
}

/** Connects when it is first asked for something, and again later where nothing answered: backups are listed meanwhile. */
export function openTemporalDoor(
  target: TemporalTarget,
  cluster: string,
  { nodes, schedules }: { nodes: readonly NodeInfo[]; schedules: readonly string[] },
): OpenDoor {
  const line = new Line(target);
  const ask = <T>(work: (client: Client) => Promise<T>): Promise<T> => line.ask(work);
  return {
    async check() {
      await ask((client) => client.workflowService.getSystemInfo({}));
    },
    start: (name, request, key) =>
      ask(async (client) =>
        key === undefined
          ? (await startOperation(client, cluster, name, request)).workflowId
          : startOnce(client, cluster, name, request, key),
      ),
    async startLocked(name, request) {
      const operation = operationId(name, cluster, new Date());
      await ask((client) => startOperation(client, cluster, name, request, operation));
      try {
        await line.ask((client) => whenLocked(client, operation), LOCKED_WITHIN);
        return { operation, error: null };
      } catch (error) {
        if (!(error instanceof HomarusError)) throw error;
        // It has started, and goes on when a coordinator answers.
        return { operation, error: error.code === 'TemporalUnreachable' ? null : error };
      }
    },
    status: (id) => ask((client) => operationStatus(client, id, cluster)),
    list: (which) => ask((client) => listOperations(client, cluster, which)),
    cancel: (id) => ask((client) => cancelOperation(client, id, cluster)),
    unlock: (id) => ask((client) => askToUnlock(client, id, cluster)),
    nodes: () => ask((client) => nodesOf(client, cluster, nodes, new Date())),
    coordinators: () => ask((client) => coordinatorsOf(client, cluster, new Date())),
    schedules: () => ask((client) => listSchedules(client, cluster, schedules)),
    pause: (name, note) => ask((client) => pauseSchedule(client, cluster, name, note)),
    resume: (name, note) => ask((client) => resumeSchedule(client, cluster, name, note)),
    // It looks for what it started for a while.
    trigger: (name) => line.ask((client) => triggerSchedule(client, cluster, name), 3 * PATIENCE),
    close: () => line.close(),
  };
}

class Line {
  readonly #target: TemporalTarget;
  #connecting: Promise<Connected> | undefined;

  constructor(target: TemporalTarget) {
    this.#target = target;
  }

  async ask<T>(work: (client: Client) => Promise<T>, patience = PATIENCE): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(unreachable(`did not answer within ${patience / 1000} s`)), patience);
    });
    const asked = this.#connected().then(({ client }) => work(client));
    // Who gave up does not hear of it any more.
    asked.catch(() => undefined);
    try {
      return await Promise.race([asked, late]);
    } catch (error) {
      throw isUnavailable(error) ? unreachable('does not answer', error) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  async close(): Promise<void> {
    const connected = await this.#connecting?.catch(() => undefined);
    await connected?.connection.close();
  }

  #connected(): Promise<Connected> {
    if (this.#connecting === undefined) {
      const connecting = connectTemporal(this.#target);
      this.#connecting = connecting;
      connecting.catch(() => {
        this.#connecting = undefined;
      });
    }
    return this.#connecting;
  }
}

const unreachable = (how: string, cause?: unknown): HomarusError =>
  new HomarusError('TemporalUnreachable', `Temporal ${how} (asked from ${hostname()})`, { cause });

const UNAVAILABLE = 14;
const DEADLINE_EXCEEDED = 4;

function isUnavailable(error: unknown): boolean {
  if (error instanceof HomarusError) return false;
  const { code, cause } = error as { code?: unknown; cause?: { code?: unknown } };
  return [code, cause?.code].some((one) => one === UNAVAILABLE || one === DEADLINE_EXCEEDED);
}
