import { readFileSync } from 'node:fs';
import type { ICompare, IKeyValue, IRangeResponse, IRequestOp } from 'etcd3';
import * as etcd3 from 'etcd3';
import { HomarusError } from '../../domain/errors.ts';
import { withRetries } from '../../storage/retry.ts';
import { after, type KeyRange, type KeyValue } from './keys.ts';
import type { EtcdAccess } from './options.ts';
import { RestingEndpoints } from './resting.ts';

/** An etcd cluster: what backup and restore ask of it, with time-outs, on whichever endpoint answers. */

/** A page is asked for so many keys at least and at most, and for about so many bytes. */
const LEAST_KEYS = 8;
const MOST_KEYS = 500;
const PAGE_BYTES = 4 * 1024 * 1024;
/** A page of keys that suddenly are large is refused above this, and asked for in smaller ones. */
const LARGEST_ANSWER = 64 * 1024 * 1024;

export interface Transaction {
  compare: ICompare[];
  success: IRequestOp[];
}

/** A key, and the revision of its last change. */
export interface KeyAt extends KeyValue {
  modified: string;
}

export interface EtcdState {
  revision: string;
  /** Id of the cluster, decimal. */
  cluster: string;
}

export class EtcdClient {
  readonly #access: EtcdAccess;
  readonly #signal: AbortSignal;
  readonly #client: etcd3.Etcd3;

  /** Secrets are read here, from the environment or a file. */
  constructor(access: EtcdAccess, signal: AbortSignal, endpoints: readonly string[] = access.endpoints) {
    this.#access = access;
    this.#signal = signal;
    const resting = new RestingEndpoints(endpoints, (error) => isTransient(etcd3.castGrpcError(error)));
    this.#client = new etcd3.Etcd3({
      hosts: [...endpoints],
      ...connection(access),
      // We try again ourselves: with back-off, for a given time, and until we are told to stop.
      faultHandling: { global: noRetry, host: (endpoint) => resting.policyOf(endpoint) },
    });
  }

  close(): void {
    this.#client.close();
  }

  /** Where the cluster is, asked by a key that we may read. */
  state(key: Buffer): Promise<EtcdState> {
    return this.#ask(async () => {
      const { header } = await this.#client.kv.range({ key, keys_only: true });
      return { revision: header.revision, cluster: header.cluster_id };
    });
  }

  /** Of the server that answers, e.g. 3.6.4; undefined when it tells that to root alone. */
  async version(): Promise<string | undefined> {
    try {
      return (await this.#ask(() => this.#client.maintenance.status())).version;
    } catch (error) {
      if (/permission denied/.test((error as Error).message)) return undefined;
      throw error;
    }
  }

  async get(key: Buffer): Promise<KeyAt | undefined> {
    const { kvs } = await this.#ask(() => this.#client.kv.range({ key }));
    const [found] = kvs;
    return found && keyAt(found);
  }

  /**
   * The keys of a range in order, page by page: of one revision, or as they are at each page. `EtcdCompacted` when the
   * revision is not there any more.
   */
  async *keys({ start, end }: KeyRange, revision?: string): AsyncGenerator<KeyAt> {
    let limit = LEAST_KEYS;
    for (let from = start; ; ) {
      let page: IRangeResponse;
      try {
        page = await this.#ask(() =>
          this.#client.kv.range({ key: from, range_end: end, limit, ...(revision === undefined ? {} : { revision }) }),
        );
      } catch (error) {
        if (!isTooLarge((error as Error).cause) || limit === 1) throw error;
        limit = Math.max(1, Math.floor(limit / 8));
        continue;
      }
      let bytes = 1;
      for (const found of page.kvs) {
        bytes += found.key.length + found.value.length;
        yield keyAt(found);
      }
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) return;
      from = after(last.key);
      const fitting = Math.floor((PAGE_BYTES * page.kvs.length) / bytes);
      limit = Math.max(1, Math.min(MOST_KEYS, limit * 8, fitting));
    }
  }

  /** Answers whether what it compares held; sent again when its answer was lost. */
  async transaction({ compare, success }: Transaction): Promise<boolean> {
    return (await this.#ask(() => this.#client.kv.txn({ compare, success, failure: [] }))).succeeded;
  }

  /** A member's whole database and, in the last 32 bytes, its SHA-256. */
  async *memberSnapshot(): AsyncGenerator<Buffer> {
    const stream = (await this.#ask(() => this.#client.maintenance.snapshot())) as unknown as SnapshotStream;
    const { request } = this.#access.timeouts;
    let timer: NodeJS.Timeout | undefined;
    const heard = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => stream.cancel(), request);
    };
    const stop = (): void => stream.cancel();
    this.#signal.addEventListener('abort', stop, { once: true });
    try {
      heard();
      for await (const { blob } of stream) {
        clearTimeout(timer);
        yield blob;
        heard();
      }
    } catch (error) {
      this.#signal.throwIfAborted();
      // Of a call etcd3 tells the kind of an error itself, of a stream it does not.
      throw this.#ours(etcd3.castGrpcError(error as Error));
    } finally {
      clearTimeout(timer);
      this.#signal.removeEventListener('abort', stop);
      stop();
    }
  }

  /** Asks again, of another endpoint, while that can help. */
  async #ask<T>(call: () => Promise<T>): Promise<T> {
    const { request, retryFor } = this.#access.timeouts;
    try {
      // The call has a deadline of its own, and etcd3 none of a dead host's.
      return await withRetries({ retryFor, stall: 2 * request, signal: this.#signal }, isTransient, (alive) =>
        Promise.race([call(), aborted(alive.signal)]),
      );
    } catch (error) {
      this.#signal.throwIfAborted();
      throw this.#ours(error);
    }
  }

  #ours(error: unknown): HomarusError {
    if (error instanceof HomarusError) return error;
    const { name, message } = error as Error;
    const where = `etcd at ${this.#access.endpoints.join(', ')}`;
    const text = message.replace(/^\d+ [A-Z_]+: /, '');
    if (/has been compacted/.test(message)) {
      return new HomarusError('EtcdCompacted', `${where} compacted the revision that was being read`, { cause: error });
    }
    if (isTransient(error) || name === 'Stalled') {
      return new HomarusError('EtcdUnreachable', `${where} does not answer: ${text}`, { cause: error });
    }
    return new HomarusError('EtcdRefused', `${where} refused: ${text}`, { cause: error });
  }
}

type SnapshotStream = AsyncIterable<{ blob: Buffer }> & { cancel(): void };

const TRANSIENT = new Set([
  'GRPCUnavailableError',
  'GRPCDeadlineExceededError',
  'GRPCCancelledError',
  'GRPCInternalError',
  'GRPCAbortedError',
  'GRPCUnknownError',
  'GRPCGenericError',
  'EtcdInvalidAuthTokenError',
]);

/** Leader changes and members that go are among these; so is a token that a restarted member has forgotten. */
function isTransient(error: unknown): boolean {
  const { message, constructor: kind } = error as Error;
  if (/too many requests|future revision|revision of auth store is old/.test(message)) return true;
  return TRANSIENT.has(kind.name);
}

const isTooLarge = (error: unknown): boolean =>
  /^8 .*message larger than max/i.test((error as Error | undefined)?.message ?? '');

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

const keyAt = ({ key, value, lease, mod_revision }: IKeyValue): KeyAt => ({
  key,
  value,
  lease: BigInt(lease),
  modified: mod_revision,
});

function connection({ tls, user, passwordEnv, passwordFile, timeouts }: EtcdAccess): Omit<etcd3.IOptions, 'hosts'> {
  const file = (field: string, path: string | undefined): Buffer | undefined => {
    if (path === undefined) return undefined;
    try {
      return readFileSync(path);
    } catch (cause) {
      throw new HomarusError('ConfigInvalid', `${field} of etcd: ${(cause as Error).message}`, { cause });
    }
  };
  const options: Omit<etcd3.IOptions, 'hosts'> = {
    dialTimeout: timeouts.request,
    defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: Date.now() + timeouts.request }),
    grpcOptions: { 'grpc.max_receive_message_length': LARGEST_ANSWER, 'grpc.max_send_message_length': -1 },
  };
  if (tls) {
    options.credentials = {
      rootCertificate: file('tls.caFile', tls.caFile) as Buffer,
      ...(tls.keyFile === undefined ? {} : { privateKey: file('tls.keyFile', tls.keyFile) as Buffer }),
      ...(tls.certFile === undefined ? {} : { certChain: file('tls.certFile', tls.certFile) as Buffer }),
    };
  }
  if (user !== undefined) {
    const password =
      passwordFile === undefined
        ? fromEnvironment(passwordEnv as string)
        : (file('passwordFile', passwordFile) as Buffer).toString('utf8').replace(/\r?\n$/, '');
    options.auth = { username: user, password };
  }
  return options;
}

function fromEnvironment(name: string): string {
  const value = process.env[name];
  if (value !== undefined && value !== '') return value;
  throw new HomarusError('ConfigInvalid', `the password for etcd is missing: set ${name} in the environment`);
}

/** A policy of cockatiel's that does nothing. What a call throws is a rejection there, and etcd3 relies on that. */
const noRetry = {
  execute: async (call: (context: { signal: AbortSignal }) => unknown) =>
    call({ signal: new AbortController().signal }),
} as unknown as NonNullable<NonNullable<etcd3.IOptions['faultHandling']>['global']>;
