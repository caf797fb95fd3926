import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { TcpProxy } from './tcpProxy.ts';

/** A request to the storage, as a test looks at it. */
export interface Asked {
  /** The process that asks. */
  from: string;
  verb: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'LIST' | 'DELETE';
  /** Below the repository's prefix; of a listing its prefix. */
  key: string;
  /** What became of it; `cut off` by whoever asked. */
  outcome: 'under way' | 'passed on' | 'cut off' | 'answered by the front';
  /** When it came and when it was over, as places in the order of all such events. */
  came: number;
  went: number | undefined;
}

/**
 * What the front does instead of passing a request on: `pass` it; answer with a status; `stall`, which
 * answers nothing; `late`, which answers nothing and passes it on once whoever asked has given up.
 */
export type Fault = 'pass' | 'stall' | 'late' | number;

type Matches = (asked: Asked) => boolean;

/** Of requests that match, while it stands. */
export interface Rule {
  /** The first that came. */
  readonly met: Promise<Asked>;
  /** How many came. */
  readonly count: number;
  lift(): void;
}

/** Requests that match wait until they are let go. */
export interface Hold extends Rule {
  letGo(fault?: Fault): void;
}

interface Standing {
  matches: Matches;
  meet(asked: Asked): Fault | Promise<Fault>;
}

/** Stands before an S3 server, with a port for each process that talks to it, and does to requests what a test tells it. */
export class StorageFront {
  /** All requests, in the order in which they came. */
  readonly asked: Asked[] = [];
  #events = 0;
  readonly #target: URL;
  readonly #below: string;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #servers: Server[] = [];
  readonly #lines = new Map<string, TcpProxy>();
  readonly #rules = new Set<Standing>();

  /** `below`: `/bucket/prefix/`. */
  constructor(target: string, below: string) {
    this.#target = new URL(target);
    this.#below = below;
  }

  /** The endpoint for this process. */
  async endpoint(name: string): Promise<string> {
    const known = this.#lines.get(name);
    if (known) return `http://${known.address}`;
    const server = createServer((asking, answer) => {
      this.#serve(name, asking, answer).catch(() => asking.destroy());
    });
    server.requestTimeout = 0;
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.#servers.push(server);
    const line = await TcpProxy.start(`127.0.0.1:${(server.address() as AddressInfo).port}`);
    this.#lines.set(name, line);
    return `http://${line.address}`;
  }

  /** The line between a process and the storage. */
  line(name: string): TcpProxy {
    return this.#lines.get(name) as TcpProxy;
  }

  /** Requests that match meet with this fault, the first `times` of them. */
  meet(matches: Matches, fault: Fault, times = Number.POSITIVE_INFINITY): Rule {
    return this.#rule(matches, (_, count) => (count <= times ? fault : 'pass'));
  }

  /** Requests that match wait until they are let go. */
  hold(matches: Matches): Hold {
    const gate = Promise.withResolvers<Fault>();
    const rule = this.#rule(matches, () => gate.promise);
    return {
      met: rule.met,
      get count() {
        return rule.count;
      },
      lift: () => rule.lift(),
      letGo(fault = 'pass') {
        rule.lift();
        gate.resolve(fault);
      },
    };
  }

  async stop(): Promise<void> {
    for (const line of this.#lines.values()) await line.stop();
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
    }
    this.#agent.destroy();
  }

  #rule(matches: Matches, meet: (asked: Asked, count: number) => Fault | Promise<Fault>): Rule {
    const first = Promise.withResolvers<Asked>();
    let count = 0;
    const standing: Standing = {
      matches,
      meet: (asked) => {
        first.resolve(asked);
        return meet(asked, ++count);
      },
    };
    this.#rules.add(standing);
    return {
      met: first.promise,
      get count() {
        return count;
      },
      lift: () => this.#rules.delete(standing),
    };
  }

  async #serve(from: string, asking: IncomingMessage, answer: ServerResponse): Promise<void> {
    const asked = this.#read(from, asking);
    this.asked.push(asked);
    answer.once('close', () => {
      asked.went = ++this.#events;
      if (asked.outcome === 'under way') asked.outcome = 'cut off';
    });
    // Read at once: an end that comes behind it is seen only then.
    const whole = buffer(asking);
    whole.catch(() => undefined);
    const rule = [...this.#rules].find(({ matches }) => matches(asked));
    const fault = (await rule?.meet(asked)) ?? 'pass';
    if (fault === 'stall') return;
    const body = await whole;
    if (typeof fault === 'number') {
      asked.outcome = 'answered by the front';
      answer.writeHead(fault, { 'content-type': 'application/xml' });
      answer.end('<Error><Code>Fault</Code><Message>as the test wants it</Message></Error>');
      return;
    }
    if (fault === 'late' && !answer.destroyed) await once(answer, 'close');
    else if (answer.destroyed) return;
    asked.outcome = 'passed on';
    await this.#passOn(asking, body, answer);
  }

  #read(from: string, { method, url }: IncomingMessage): Asked {
    const { pathname, searchParams } = new URL(url ?? '', 'http://storage');
    const path = decodeURIComponent(pathname);
    const lists = searchParams.has('list-type') || searchParams.has('uploads');
    const below = path.startsWith(this.#below) ? path.slice(this.#below.length) : '';
    const prefix = `/backups/${searchParams.get('prefix') ?? ''}`.slice(this.#below.length);
    const common = { from, outcome: 'under way', came: ++this.#events, went: undefined } as const;
    if (method === 'GET' && lists) return { ...common, verb: 'LIST', key: prefix };
    if (method === 'POST' && searchParams.has('delete')) return { ...common, verb: 'DELETE', key: below };
    return { ...common, verb: method as Asked['verb'], key: below };
  }

  async #passOn(asking: IncomingMessage, body: Buffer, answer: ServerResponse): Promise<void> {
    const { method, url, headers } = asking;
    // Not signed, and answered by our own server already.
    const { expect: _, connection: __, ...rest } = headers;
    const sending = request({
      agent: this.#agent,
      host: this.#target.hostname,
      port: this.#target.port,
      method,
      path: url,
      headers: rest,
    });
    sending.end(body);
    const [answered] = (await once(sending, 'response')) as [IncomingMessage];
    if (answer.destroyed) {
      answered.resume();
      return;
    }
    answer.writeHead(answered.statusCode ?? 500, answered.headers);
    answered.pipe(answer);
  }
}
