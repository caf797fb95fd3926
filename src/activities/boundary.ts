import { ApplicationFailure, CancelledFailure } from '@temporalio/activity';
import type { ErrorCode } from '../domain/errors.ts';
import { errorTable, HomarusError, isErrorCode } from '../domain/errors.ts';

/**
 * An error as it leaves an activity: its type is the code of the one table, which says whether the activity is tried
 * again; its text is the one that a person reads everywhere.
 */
export function toFailure(error: unknown): unknown {
  if (error instanceof CancelledFailure || error instanceof ApplicationFailure) return error;
  const code = codeOf(error);
  const known = error instanceof HomarusError ? error : undefined;
  return ApplicationFailure.create({
    type: code,
    message: known || !(error instanceof Error) ? textOf(error) : `${error.name}: ${error.message}`,
    nonRetryable: errorTable[code].retry !== 'activity',
    details: [{ hint: known?.hint ?? errorTable[code].hint }],
    ...(error instanceof Error && error.cause instanceof Error ? { cause: error.cause } : {}),
  });
}

function codeOf(error: unknown): ErrorCode {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' && isErrorCode(code) ? code : 'Internal';
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
