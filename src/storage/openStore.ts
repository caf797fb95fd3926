import { readFileSync } from 'node:fs';
import { HomarusError } from '../domain/errors.ts';
import { FileStore } from './fileStore.ts';
import type { ObjectStore } from './objectStore.ts';
import type { SecretSource } from './secret.ts';

/** ms. */
export interface StoreTimeouts {
  /** Requests are repeated for so long. */
  retryFor?: number | undefined;
  /** A transfer without a byte for so long is cut and repeated. */
  stall?: number | undefined;
  connect?: number | undefined;
}

export interface FilesSettings {
  type: 'files';
  path: string;
  encryption?: SecretSource | undefined;
  timeouts?: StoreTimeouts | undefined;
}

export interface S3Settings {
  type: 's3';
  bucket: string;
  prefix?: string | undefined;
  region?: string | undefined;
  endpoint?: string | undefined;
  pathStyle?: boolean | undefined;
  storageClass?: string | undefined;
  /** Encryption by the server, and the key of it. */
  sse?: { type: 'AES256' | 'aws:kms'; kmsKeyId?: string | undefined } | undefined;
  /** Certificates that are trusted beside the usual ones, PEM. */
  caFile?: string | undefined;
  /** URL; without, HTTPS_PROXY and NO_PROXY in the environment count. */
  proxy?: string | undefined;
  /** Names of environment variables, or a JSON file; the SDK's own chain without. */
  credentials?:
    | {
        accessKeyIdEnv?: string | undefined;
        secretAccessKeyEnv?: string | undefined;
        sessionTokenEnv?: string | undefined;
        file?: string | undefined;
      }
    | undefined;
  encryption?: SecretSource | undefined;
  timeouts?: StoreTimeouts | undefined;
}

export type StorageSettings = FilesSettings | S3Settings;

export interface OpenOptions {
  /** Requests at once. */
  requests?: number;
  onRequest?: (verb: string) => void;
  /** Asked before whatever changes the storage; throws what then ends it. */
  mayWrite?: () => void;
}

const RETRY_FOR = 120_000;
const STALL = 30_000;
const CONNECT = 5_000;
const REQUESTS = 32;

/** The only switch on the kind of store. */
export async function openStore(settings: StorageSettings, options: OpenOptions = {}): Promise<ObjectStore> {
  if (settings.type === 'files') return new FileStore(settings.path, options);
  const { bucket, prefix, region, endpoint, pathStyle, storageClass, sse, timeouts } = settings;
  const credentials = credentialsOf(settings);
  // The SDK is slow to load, and who has no bucket needs none.
  const [{ S3Store }, { s3Agent }] = await Promise.all([import('./s3Store.ts'), import('./s3Agent.ts')]);
  return new S3Store({
    bucket,
    prefix: (prefix ?? '').replaceAll(/^\/+|\/+$/g, ''),
    storageClass,
    sse,
    agent: s3Agent(settings, options.requests ?? REQUESTS),
    retryFor: timeouts?.retryFor ?? RETRY_FOR,
    stall: timeouts?.stall ?? STALL,
    connect: timeouts?.connect ?? CONNECT,
    mayWrite: options.mayWrite,
    ...(options.onRequest ? { onRequest: options.onRequest } : {}),
    client: {
      ...(region === undefined ? {} : { region }),
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(credentials === undefined ? {} : { credentials }),
      forcePathStyle: pathStyle ?? false,
    },
  });
}

/** A new storage's place: the directory of a `files` storage is made, a bucket must be there. */
export async function makePlace(settings: StorageSettings): Promise<void> {
  if (settings.type === 'files') await FileStore.make(settings.path);
}

function credentialsOf({ credentials, bucket }: S3Settings) {
  if (credentials === undefined) return undefined;
  if (credentials.file !== undefined) return fromFile(credentials.file, bucket);
  const { accessKeyIdEnv, secretAccessKeyEnv, sessionTokenEnv } = credentials;
  if (accessKeyIdEnv === undefined || secretAccessKeyEnv === undefined) return undefined;
  const sessionToken = sessionTokenEnv === undefined ? undefined : fromEnvironment(sessionTokenEnv, bucket);
  return {
    accessKeyId: fromEnvironment(accessKeyIdEnv, bucket),
    secretAccessKey: fromEnvironment(secretAccessKeyEnv, bucket),
    ...(sessionToken === undefined ? {} : { sessionToken }),
  };
}

function fromEnvironment(name: string, bucket: string): string {
  const value = process.env[name];
  if (value !== undefined && value !== '') return value;
  throw new HomarusError(
    'ConfigInvalid',
    `the credentials for bucket ${bucket} are missing: set ${name} in the environment`,
  );
}

function fromFile(path: string, bucket: string): { accessKeyId: string; secretAccessKey: string } {
  try {
    const { accessKeyId, secretAccessKey } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    if (typeof accessKeyId === 'string' && typeof secretAccessKey === 'string') return { accessKeyId, secretAccessKey };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new HomarusError(
      'ConfigInvalid',
      `the credentials for bucket ${bucket} cannot be read from ${path}: ${code ?? 'not JSON'}`,
    );
  }
  throw new HomarusError(
    'ConfigInvalid',
    `the credentials for bucket ${bucket}: ${path} must be JSON with accessKeyId and secretAccessKey`,
  );
}
