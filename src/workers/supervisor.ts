import { execFile } from 'node:child_process';
import { log } from '../telemetry.ts';

/** A part of this process has started; `isAlive` tells from then on whether it does its work. */
export type Started = (isAlive: () => boolean) => void;

/** What a supervisor may want to hear, as sd_notify(3) has it. */
type Message = 'READY=1' | 'WATCHDOG=1' | 'STOPPING=1';

/** systemd's own tool: Node has no datagrams to sockets of files. It waits until its message was read. */
const TOOL = 'systemd-notify';

/**
 * Tells systemd, where it asks (`NOTIFY_SOCKET`, `WATCHDOG_USEC`), that all parts of this process have started, and from
 * then on, twice in each `WatchdogSec`, that they live: a process whose event loop hangs, or one of whose workers has ended, is silent and
 * is started again.
 */
export class Supervisor {
  readonly #environment: NodeJS.ProcessEnv;
  readonly #parts: (() => boolean)[] = [];
  readonly #expected: number;
  #timer: NodeJS.Timeout | undefined;
  #complained = false;

  constructor(parts: number, environment: NodeJS.ProcessEnv = process.env) {
    this.#expected = parts;
    this.#environment = environment;
  }

  /** To be called once by each part. */
  readonly started: Started = (isAlive) => {
    this.#parts.push(isAlive);
    if (this.#parts.length < this.#expected) return;
    this.#tell('READY=1');
    const { WATCHDOG_USEC, WATCHDOG_PID } = this.#environment;
    // Another process's, of which this one is a child.
    if (WATCHDOG_PID !== undefined && Number(WATCHDOG_PID) !== process.pid) return;
    const everyMs = Number(WATCHDOG_USEC) / 1000 / 2;
    if (everyMs > 0) this.#timer = setInterval(() => this.#look(), everyMs).unref();
  };

  /** Said before the parts end: from now on nothing is expected of them. */
  stopping(): void {
    clearInterval(this.#timer);
    if (this.#parts.length === this.#expected) this.#tell('STOPPING=1');
  }

  #look(): void {
    if (this.#parts.every((isAlive) => isAlive())) this.#tell('WATCHDOG=1');
    else log('warn', 'a part of this process does not work any more: systemd is not told that it lives');
  }

  #tell(message: Message): void {
    if (!this.#environment.NOTIFY_SOCKET) return;
    execFile(TOOL, [message], { env: this.#environment }, (error) => {
      if (error === null || this.#complained) return;
      this.#complained = true;
      log('warn', `systemd was not told ${message}: ${error.message.trim()}`);
    });
  }
}
