import { z } from 'zod';
import type { ErrorCode } from '../domain/errors.ts';
import { errorTable, HomarusError } from '../domain/errors.ts';

/** Every error as problem+json (RFC 9457), from the one table. */

export const PROBLEM_JSON = 'application/problem+json';

export const problemSchema = z
  .object({
    type: z.literal('about:blank'),
    status: z.int(),
    title: z.string().describe('Code of the error; docs/operations.md has all of them'),
    detail: z.string().describe('What failed and where'),
    hint: z.string().describe('What to do'),
  })
  .meta({ id: 'Problem' });
export type Problem = z.output<typeof problemSchema>;

export function problemOf(error: unknown): Problem {
  const known = homarusErrorOf(error);
  const status = errorTable[known.code].http;
  return { type: 'about:blank', status, title: known.code, detail: known.message, hint: known.hint };
}

function homarusErrorOf(error: unknown): HomarusError {
  if (error instanceof HomarusError) return error;
  const { statusCode, message } = error as { statusCode?: number; message?: string };
  const code = fromFramework(statusCode ?? 500);
  // What is ours to mend says nothing of our inside; the log has it.
  return new HomarusError(code, code === 'Internal' ? 'the facade failed' : (message ?? String(error)));
}

function fromFramework(status: number): ErrorCode {
  if (status === 413) return 'BodyTooLarge';
  if (status === 415) return 'BodyNotJson';
  return status < 500 ? 'BadInput' : 'Internal';
}

/** Errors that a request may meet, by what it touches. */
const always = ['BadInput', 'Internal'] as const;
export const mayMeet = {
  body: ['BodyTooLarge', 'BodyNotJson'],
  token: ['TokenMissing', 'NotAllowed'],
  storage: [
    'NoRepository',
    'ForeignRepository',
    'RepositoryIncompatible',
    'RolledBack',
    'KeyMissing',
    'KeyWrong',
    'ObjectMissing',
    'ObjectDamaged',
    'StoreForbidden',
    'StoreUnreachable',
    'StoreFull',
  ],
  temporal: ['TemporalUnreachable'],
} as const satisfies Record<string, readonly ErrorCode[]>;

/** Codes by status, e.g. for the OpenAPI document. */
export function byStatus(codes: readonly ErrorCode[]): Map<number, ErrorCode[]> {
  const found = new Map<number, ErrorCode[]>();
  for (const code of new Set<ErrorCode>([...always, ...codes])) {
    const { http } = errorTable[code];
    found.set(http, [...(found.get(http) ?? []), code]);
  }
  return new Map([...found].toSorted(([a], [b]) => a - b));
}
