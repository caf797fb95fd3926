import { once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';

/**
 * `pass` forwards. `refuse` cuts what is there and refuses what comes, as where a process is gone. `drop` holds every byte
 * back and answers nothing, as where packets are lost; what was held arrives late once it passes again.
 */
export type Line = 'pass' | 'refuse' | 'drop';

interface Pair {
  near: Socket;
  far: Socket | undefined;
}

/** A line between two parties that a test breaks and mends. */
export class TcpProxy {
  readonly #target: { host: string; port: number };
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #port = 0;
  #line: Line = 'pass';
  #awaited: { text: string; met: () => void } | undefined;

  private constructor(target: string) {
    const { hostname, port } = new URL(target.includes('://') ? target : `tcp://${target}`);
    this.#target = { host: hostname, port: Number(port) };
    this.#server = createServer((near) => this.#accept(near));
  }

  /** `target` is `host:port`, or a URL with a port. */
  static async start(target: string): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    await proxy.#listen();
    return proxy;
  }

  /** `127.0.0.1:port`, the same over all breaks. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  async set(line: Line): Promise<void> {
    const former = this.#line;
    this.#line = line;
    if (line === 'refuse') {
      for (const { near, far } of this.#pairs) {
        near.destroy();
        far?.destroy();
      }
      if (former !== 'refuse') await new Promise((closed) => this.#server.close(closed));
      return;
    }
    if (former === 'refuse') await this.#listen();
    for (const pair of this.#pairs) this.#relay(pair);
  }

  /** Drops from the first bytes on that have this text in them, which are not forwarded either; answers when they came. */
  dropFrom(text: string): Promise<void> {
    return new Promise((met) => {
      this.#awaited = { text, met };
    });
  }

  async stop(): Promise<void> {
    await this.set('refuse');
  }

  async #listen(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  #accept(near: Socket): void {
    const pair: Pair = { near, far: undefined };
    this.#pairs.add(pair);
    near.pause();
    near.on('error', () => undefined);
    near.on('close', () => {
      this.#pairs.delete(pair);
      pair.far?.destroy();
    });
    this.#relay(pair);
  }

  #relay(pair: Pair): void {
    const { near } = pair;
    if (this.#line === 'drop') {
      near.pause();
      pair.far?.pause();
      return;
    }
    if (pair.far === undefined) {
      const far = connect(this.#target);
      pair.far = far;
      far.on('error', () => undefined);
      far.on('close', () => near.destroy());
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        from.on('data', (bytes) => {
          if (from === near && this.#isAwaited(bytes)) void this.set('drop');
          else if (!to.write(bytes)) from.pause();
        });
        to.on('drain', () => {
          if (this.#line === 'pass') from.resume();
        });
        from.on('end', () => to.end());
      }
    }
    near.resume();
    pair.far.resume();
  }

  #isAwaited(bytes: Buffer): boolean {
    if (!this.#awaited || !bytes.includes(this.#awaited.text)) return false;
    this.#awaited.met();
    this.#awaited = undefined;
    return true;
  }
}
