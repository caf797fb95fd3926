import { HomarusError } from '../domain/errors.ts';

/** What the errors of S3 and of its SDK mean to us. */

interface S3Failure {
  name?: string;
  message?: string;
  code?: string;
  $metadata?: { httpStatusCode?: number };
}

/** Answers of a request that a repetition can help. */
const transientStatus = new Set([408, 425, 429, 500, 502, 503, 504]);
const transientNames = new Set([
  'SlowDown',
  'RequestTimeout',
  'RequestTimeTooSkewed',
  'ConditionalRequestConflict',
  'TimeoutError',
]);
const fatalNames = new Set(['CredentialsProviderError', 'InvalidAccessKeyId', 'SignatureDoesNotMatch', 'NoSuchBucket']);

export const statusOf = (error: unknown): number | undefined => (error as S3Failure).$metadata?.httpStatusCode;
export const nameOf = (error: unknown): string => (error as S3Failure).name ?? '';
export const isMissing = (error: unknown): boolean =>
  nameOf(error) === 'NoSuchKey' ||
  nameOf(error) === 'NotFound' ||
  (statusOf(error) === 404 && nameOf(error) !== 'NoSuchBucket');

/** The connection went away while the request was sent. */
export const isCut = (error: unknown): boolean =>
  statusOf(error) === undefined &&
  /ECONNRESET|EPIPE|socket hang up/.test(`${(error as S3Failure).code} ${(error as S3Failure).message}`);

/** No answer at all is transient: resets, refused connections, names that do not resolve. */
export function isTransient(error: unknown): boolean {
  if (fatalNames.has(nameOf(error)) || error instanceof TypeError || error instanceof HomarusError) return false;
  const status = statusOf(error);
  return status === undefined || transientStatus.has(status) || transientNames.has(nameOf(error));
}

/** Conditions and missing objects are answers: whoever asked looks at them as they are. */
export function told(error: unknown, verb: string, key: string, store: string): unknown {
  if (error instanceof HomarusError) return error;
  const status = statusOf(error);
  const name = nameOf(error);
  if ((name !== 'NoSuchBucket' && (isMissing(error) || name === 'NoSuchUpload')) || status === 412 || status === 416)
    return error;
  const { message } = error as S3Failure;
  const what = [name, message].filter((text) => text !== undefined && text !== '').join(' ');
  const text = `storage ${store}: ${verb} ${key} failed: ${what}`;
  if (status === 401 || status === 403 || fatalNames.has(name)) {
    return new HomarusError('StoreForbidden', text.replace(' failed: ', ' was refused: '), { cause: error });
  }
  if (name === 'XMinioStorageFull' || status === 507) return new HomarusError('StoreFull', text, { cause: error });
  return new HomarusError('StoreUnreachable', text, { cause: error });
}
