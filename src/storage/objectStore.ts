/**
 * Where bytes rest: the few verbs that every store has, and what they promise. `test/storage/objectStore.contract.ts`
 * holds each store to it.
 *
 * A key is made of segments of `A-Z a-z 0-9 . _ ~ : + = @ -` joined by `/`; it is at most 512 bytes long and no segment
 * is empty, `.` or `..`. What fails is a HomarusError: `StoreForbidden`, `StoreUnreachable` (already tried again with
 * back-off), `StoreFull`. What is missing or was there already is an answer, not an error.
 */
export interface ObjectStore {
  /** For messages, e.g. `s3://bucket/prefix` or `/backups`; never holds a secret. */
  readonly description: string;

  /**
   * Stores `body` under `key` if nothing is there; durable when it returns, and never visible half-written. Of racing
   * creators exactly one is told `created`. After a time-out the same call may be repeated and can then be answered
   * `exists` for its own earlier write. A stream becomes a multi-part object where it is long; it may be read only once,
   * so its parts are what is retried.
   */
  create(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options?: CallOptions,
  ): Promise<'created' | 'exists'>;

  /** Stores `body` under `key`, whatever was there. Only leases are written so. */
  overwrite(key: string, body: Uint8Array, options?: CallOptions): Promise<void>;

  /** The object, or `length` bytes from `start` (fewer where it ends earlier); undefined when it is missing. */
  read(key: string, range?: ByteRange, options?: CallOptions): Promise<Buffer | undefined>;

  /** Size and times of an object; undefined when it is missing. */
  stat(key: string, options?: CallOptions): Promise<ObjectStat | undefined>;

  /** All objects whose key starts with `prefix` and is greater than `after`, in byte order of their keys. */
  list(prefix: string, options?: CallOptions & { after?: string }): AsyncIterable<ListedObject>;

  /** Removes objects; what is missing already counts as removed. Answers the keys that an object lock holds back. */
  remove(keys: readonly string[], options?: CallOptions): Promise<{ retained: string[] }>;

  /** Removes what cut-off writes left that began before `before` (ms): temporary files, unfinished multi-part uploads. */
  removeUnfinished(before: number, options?: CallOptions): Promise<number>;

  /** The storage's clock, ms since the epoch. */
  now(): Promise<number>;

  close(): Promise<void>;
}

export interface CallOptions {
  signal?: AbortSignal;
}

/** In bytes. */
export interface ByteRange {
  start: number;
  length: number;
}

export interface ObjectStat {
  size: number;
  /** Storage's clock, ms since the epoch. */
  modified: number;
}

export interface ListedObject extends ObjectStat {
  key: string;
}

const KEY = /^[A-Za-z0-9._~:+=@-]+(?:\/[A-Za-z0-9._~:+=@-]+)*$/;
const MOST_KEY_BYTES = 512;

/** Throws for a key that is not one: nothing outside of the prefix is ever named. */
export function checkKey(key: string): void {
  const bad =
    key.length > MOST_KEY_BYTES || !KEY.test(key) || key.split('/').some((part) => part === '.' || part === '..');
  if (bad) throw new TypeError(`not a key of an object: ${JSON.stringify(key.slice(0, MOST_KEY_BYTES))}`);
}
