import { setTimeout as pause } from 'node:timers/promises';
import type { OperationStatus } from '../client/progress.ts';
import { HomarusError } from '../domain/errors.ts';
import type { TemporalDoor } from './deps.ts';
import { problemOf } from './problems.ts';

export interface EventOptions {
  /** Between two looks, ms. */
  poll?: number;
  /** So many streams at once. */
  most?: number;
}

/** Something is sent at least so often, so that nobody between takes the line for dead, ms. */
const SILENCE = 15_000;

/** Operations as server-sent events. Nobody tells of progress, so who follows looks for it: one look for all who follow the same. */
export class Events {
  readonly #temporal: TemporalDoor;
  readonly #poll: number;
  readonly #most: number;
  readonly #closing = new AbortController();
  readonly #looks = new Map<string, Promise<OperationStatus>>();
  #streams = 0;

  constructor(temporal: TemporalDoor, { poll = 1_000, most = 200 }: EventOptions = {}) {
    this.#temporal = temporal;
    this.#poll = poll;
    this.#most = most;
  }

  /** Ends all streams: the process ends. */
  close(): void {
    this.#closing.abort();
  }

  /** `OperationNotFound`, `TemporalUnreachable`: before the first event. */
  async follow(id: string): Promise<AsyncGenerator<string>> {
    if (this.#streams >= this.#most) {
      throw new HomarusError('TooManyStreams', `${this.#streams} operations are followed already`);
    }
    this.#streams++;
    try {
      return this.#events(id, await this.#look(id));
    } catch (error) {
      this.#streams--;
      throw error;
    }
  }

  async *#events(id: string, first: OperationStatus): AsyncGenerator<string> {
    const { signal } = this.#closing;
    try {
      let sent = '';
      let at = performance.now();
      for (let status: OperationStatus | undefined = first; ; status = undefined) {
        let event: string;
        let ended = false;
        try {
          const now: OperationStatus = status ?? (await this.#look(id));
          ended = now.state !== 'running';
          event = eventOf(ended ? 'end' : 'status', now);
        } catch (error) {
          event = eventOf('problem', problemOf(error));
        }
        if (event !== sent) yield event;
        else if (performance.now() - at > SILENCE) yield ': still here\n\n';
        if (event !== sent || performance.now() - at > SILENCE) at = performance.now();
        sent = event;
        if (ended || signal.aborted) return;
        await pause(this.#poll, undefined, { signal }).catch(() => undefined);
      }
    } finally {
      this.#streams--;
    }
  }

  #look(id: string): Promise<OperationStatus> {
    const under = this.#looks.get(id);
    if (under) return under;
    const look = this.#temporal.status(id).finally(() => this.#looks.delete(id));
    this.#looks.set(id, look);
    return look;
  }
}

const eventOf = (name: string, data: object): string => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
