import type { Agent } from 'node:http';
import type { Agent as HttpsAgent } from 'node:https';
import type { Readable } from 'node:stream';
import type { S3ClientConfig } from '@aws-sdk/client-s3';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { HomarusError } from '../domain/errors.ts';
import type { ByteRange, CallOptions, ListedObject, ObjectStat, ObjectStore } from './objectStore.ts';
import { checkKey } from './objectStore.ts';
import type { S3Settings } from './openStore.ts';
import { PiecewiseHandler } from './pieces.ts';
import { withRetries } from './retry.ts';
import { isCut, isMissing, isTransient, nameOf, statusOf, told } from './s3Errors.ts';
import { gathered, slices } from './s3Parts.ts';

export interface S3Options {
  bucket: string;
  /** Keys stand below it; without a slash at either end. */
  prefix: string;
  client: S3ClientConfig;
  /** ms. */
  retryFor: number;
  stall: number;
  connect: number;
  /** Holds the connections; closed with the store. */
  agent: Agent;
  storageClass?: string | undefined;
  sse?: S3Settings['sse'];
  onRequest?: (verb: string) => void;
  /** Asked before whatever changes the storage; throws what then ends it. */
  mayWrite?: (() => void) | undefined;
}

/** A request that sends a body is not heard of before its end: it may be as slow as this, bytes per second. */
const SLOWEST = 128 * 1024;
const PARTS_AT_ONCE = 3;
const KEYS_PER_REMOVAL = 1000;
/** A prefix of a bucket as a store. */
export class S3Store implements ObjectStore {
  readonly #options: S3Options;
  readonly #client: S3Client;
  readonly #prefix: string;
  /** Of requests under way, by their signal: how to say that a byte went. */
  readonly #heard = new WeakMap<object, () => void>();
  /** The storage's clock less ours, ms, from the date of its latest answer. */
  #ahead: number | undefined;

  constructor(options: S3Options) {
    this.#options = options;
    this.#prefix = options.prefix === '' ? '' : `${options.prefix}/`;
    this.#client = new S3Client({
      ...options.client,
      // Repeated here, where a stalled transfer counts, too.
      maxAttempts: 1,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: new PiecewiseHandler(
        {
          connectionTimeout: options.connect,
          httpAgent: options.agent,
          httpsAgent: options.agent as HttpsAgent,
        },
        options.mayWrite ?? (() => undefined),
        (signal) => signal && this.#heard.get(signal)?.(),
      ),
    });
    this.#client.middlewareStack.add(
      (next) => async (args) => {
        const answer = await next(args);
        const { headers } = answer.response as { headers?: Record<string, string> };
        const date = Date.parse(headers?.date ?? '');
        if (!Number.isNaN(date)) this.#ahead = date - Date.now();
        return answer;
      },
      { step: 'deserialize', name: 'storageClock' },
    );
  }

  get description(): string {
    return `s3://${this.#options.bucket}/${this.#options.prefix}`;
  }

  async create(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, options: CallOptions = {}) {
    checkKey(key);
    const parts = body instanceof Uint8Array ? slices(body) : gathered(body);
    const iterator = parts[Symbol.asyncIterator]();
    const first = await iterator.next();
    const second = first.done ? first : await iterator.next();
    if (second.done) return this.#put(key, first.done ? new Uint8Array() : first.value, { IfNoneMatch: '*' }, options);
    return this.#createInParts(key, [first.value as Uint8Array, second.value], iterator, options);
  }

  async overwrite(key: string, body: Uint8Array, options: CallOptions = {}): Promise<void> {
    checkKey(key);
    await this.#put(key, body, {}, options);
  }

  async #put(key: string, body: Uint8Array, condition: { IfNoneMatch?: '*' }, options: CallOptions) {
    return this.#existsOn(() =>
      this.#request(
        'PUT',
        key,
        options,
        async ({ signal }) => {
          const command = new PutObjectCommand({ ...this.#at(key), Body: body, ...condition, ...this.#kept() });
          try {
            await this.#client.send(command, { abortSignal: signal });
          } catch (error) {
            // A server may refuse before it has the whole body, and cut the connection: then its answer can be lost.
            if (condition.IfNoneMatch && isCut(error) && (await this.#isThere(key, signal))) return 'exists' as const;
            throw error;
          }
          return 'created' as const;
        },
        body.length,
      ),
    );
  }

  async #createInParts(
    key: string,
    head: Uint8Array[],
    rest: AsyncIterator<Uint8Array>,
    options: CallOptions,
  ): Promise<'created' | 'exists'> {
    const started = await this.#request('POST', key, options, ({ signal }) =>
      this.#client.send(new CreateMultipartUploadCommand({ ...this.#at(key), ...this.#kept() }), {
        abortSignal: signal,
      }),
    );
    const upload = { ...this.#at(key), UploadId: started.UploadId };
    try {
      const tags: { PartNumber: number; ETag: string | undefined }[] = [];
      const uploading = new Set<Promise<void>>();
      const send = async (number: number, part: Uint8Array): Promise<void> => {
        const answer = await this.#request(
          'PUT',
          key,
          options,
          ({ signal }) =>
            this.#client.send(new UploadPartCommand({ ...upload, PartNumber: number, Body: part }), {
              abortSignal: signal,
            }),
          part.length,
        );
        tags.push({ PartNumber: number, ETag: answer.ETag });
      };
      let number = 0;
      for (;;) {
        const queued = head.shift();
        const next = queued === undefined ? await rest.next() : { done: false, value: queued };
        if (next.done) break;
        const sending: Promise<void> = send(++number, next.value as Uint8Array).finally(() =>
          uploading.delete(sending),
        );
        sending.catch(() => undefined);
        uploading.add(sending);
        if (uploading.size >= PARTS_AT_ONCE) await Promise.race(uploading);
      }
      await Promise.all(uploading);
      const parts = { Parts: tags.sort((a, b) => a.PartNumber - b.PartNumber) };
      if (parts.Parts.length !== number)
        throw new Error(`${number - parts.Parts.length} parts of ${key} were not stored`);
      const answer = await this.#existsOn(() =>
        this.#request('POST', key, options, async ({ signal }) => {
          const command = new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: parts, IfNoneMatch: '*' });
          await this.#client.send(command, { abortSignal: signal });
          return 'created' as const;
        }),
      );
      if (answer === 'exists') await this.#abort(upload);
      return answer;
    } catch (error) {
      await rest.return?.();
      // A completion that was answered too late took the upload with it: then the object is there.
      if (nameOf(error) === 'NoSuchUpload' && (await this.stat(key, options))) return 'exists';
      await this.#abort(upload);
      throw error;
    }
  }

  /** What cannot be aborted now is swept by a cleanup. */
  async #abort(upload: { Bucket: string; Key: string; UploadId: string | undefined }): Promise<void> {
    await this.#client.send(new AbortMultipartUploadCommand(upload)).catch(() => undefined);
  }

  async #isThere(key: string, abortSignal: AbortSignal): Promise<boolean> {
    return this.#client.send(new HeadObjectCommand(this.#at(key)), { abortSignal }).then(
      () => true,
      () => false,
    );
  }

  async #existsOn(write: () => Promise<'created' | 'exists'>): Promise<'created' | 'exists'> {
    try {
      return await write();
    } catch (error) {
      if (statusOf(error) === 412 || nameOf(error) === 'PreconditionFailed') return 'exists';
      throw error;
    }
  }

  async read(key: string, range?: ByteRange, options: CallOptions = {}): Promise<Buffer | undefined> {
    checkKey(key);
    if (range?.length === 0) return (await this.stat(key, options)) === undefined ? undefined : Buffer.alloc(0);
    const Range = range && `bytes=${range.start}-${range.start + range.length - 1}`;
    try {
      return await this.#request('GET', key, options, async (alive) => {
        const answer = await this.#client.send(new GetObjectCommand({ ...this.#at(key), Range }), {
          abortSignal: alive.signal,
        });
        const parts: Buffer[] = [];
        const body = answer.Body as Readable;
        const cut = (): void => void body.destroy(alive.signal.reason as Error);
        alive.signal.addEventListener('abort', cut, { once: true });
        try {
          for await (const part of body) {
            alive.heard();
            parts.push(part as Buffer);
          }
        } finally {
          alive.signal.removeEventListener('abort', cut);
        }
        return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
      });
    } catch (error) {
      if (isMissing(error)) return undefined;
      if (statusOf(error) === 416) return Buffer.alloc(0);
      throw error;
    }
  }

  async stat(key: string, options: CallOptions = {}): Promise<ObjectStat | undefined> {
    checkKey(key);
    try {
      const answer = await this.#request('HEAD', key, options, ({ signal }) =>
        this.#client.send(new HeadObjectCommand(this.#at(key)), { abortSignal: signal }),
      );
      return { size: answer.ContentLength ?? 0, modified: answer.LastModified?.getTime() ?? 0 };
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async *list(prefix: string, options: CallOptions & { after?: string } = {}): AsyncGenerator<ListedObject> {
    let ContinuationToken: string | undefined;
    do {
      const page = await this.#request('LIST', prefix, options, ({ signal }) =>
        this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.#options.bucket,
            Prefix: this.#prefix + prefix,
            ContinuationToken,
            ...(options.after === undefined ? {} : { StartAfter: this.#prefix + options.after }),
          }),
          { abortSignal: signal },
        ),
      );
      for (const { Key = '', Size = 0, LastModified } of page.Contents ?? []) {
        const key = Key.slice(this.#prefix.length);
        if (options.after !== undefined && key <= options.after) continue;
        yield { key, size: Size, modified: LastModified?.getTime() ?? 0 };
      }
      ContinuationToken = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (ContinuationToken !== undefined);
  }

  async remove(keys: readonly string[], options: CallOptions = {}): Promise<{ retained: string[] }> {
    for (const key of keys) checkKey(key);
    const retained: string[] = [];
    for (let from = 0; from < keys.length; from += KEYS_PER_REMOVAL) {
      const batch = keys.slice(from, from + KEYS_PER_REMOVAL);
      const answer = await this.#request('DELETE', batch[0] as string, options, ({ signal }) =>
        this.#client.send(
          new DeleteObjectsCommand({
            Bucket: this.#options.bucket,
            Delete: { Objects: batch.map((key) => ({ Key: this.#prefix + key })), Quiet: true },
          }),
          { abortSignal: signal },
        ),
      );
      const failed = (answer.Errors ?? []).filter(({ Code }) => Code !== 'NoSuchKey');
      // An object lock refuses single objects; missing rights refuse them all.
      const denied = failed.filter(({ Code }) => Code === 'AccessDenied');
      const other = failed.find(({ Code }) => Code !== 'AccessDenied');
      if (other || denied.length === batch.length) {
        const { Key, Code, Message } = (other ?? denied[0]) as NonNullable<typeof other>;
        throw new HomarusError(
          Code === 'AccessDenied' ? 'StoreForbidden' : 'StoreUnreachable',
          `storage ${this.description}: DELETE ${Key} was refused: ${Code} ${Message ?? ''}`,
        );
      }
      retained.push(...denied.map(({ Key = '' }) => Key.slice(this.#prefix.length)));
    }
    return { retained };
  }

  async removeUnfinished(before: number, options: CallOptions = {}): Promise<number> {
    let removed = 0;
    let KeyMarker: string | undefined;
    let UploadIdMarker: string | undefined;
    do {
      const page = await this.#request('LIST', '', options, ({ signal }) =>
        this.#client.send(
          new ListMultipartUploadsCommand({
            Bucket: this.#options.bucket,
            Prefix: this.#prefix,
            KeyMarker,
            UploadIdMarker,
          }),
          { abortSignal: signal },
        ),
      );
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (Key === undefined || (Initiated?.getTime() ?? before) >= before) continue;
        await this.#abort({ Bucket: this.#options.bucket, Key, UploadId });
        removed++;
      }
      KeyMarker = page.IsTruncated ? page.NextKeyMarker : undefined;
      UploadIdMarker = page.NextUploadIdMarker;
    } while (KeyMarker !== undefined);
    return removed;
  }

  async now(): Promise<number> {
    this.#ahead = undefined;
    await this.stat('clock');
    return Date.now() + ((this.#ahead as number | undefined) ?? 0);
  }

  async close(): Promise<void> {
    this.#client.destroy();
    this.#options.agent.destroy();
  }

  #at(key: string) {
    return { Bucket: this.#options.bucket, Key: this.#prefix + key };
  }

  /** How the server is to keep what is written. */
  #kept() {
    const { storageClass, sse } = this.#options;
    return {
      ...(storageClass === undefined ? {} : { StorageClass: storageClass as 'STANDARD' }),
      ...(sse === undefined ? {} : { ServerSideEncryption: sse.type }),
      ...(sse?.kmsKeyId === undefined ? {} : { SSEKMSKeyId: sse.kmsKeyId }),
    };
  }

  async #request<T>(
    verb: string,
    key: string,
    { signal }: CallOptions,
    send: (alive: { signal: AbortSignal; heard(): void }) => Promise<T>,
    sent = 0,
  ): Promise<T> {
    const { retryFor, onRequest } = this.#options;
    const stall = this.#options.stall + (sent / SLOWEST) * 1000;
    try {
      return await withRetries({ retryFor, stall, signal }, isTransient, (alive) => {
        onRequest?.(verb);
        this.#heard.set(alive.signal, () => alive.heard());
        return send(alive);
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw told(error, verb, key, this.description);
    }
  }
}
