import { ActivityFailure, ApplicationFailure, isCancellation, TimeoutFailure } from '@temporalio/workflow';
import type { ErrorCode } from '../domain/errors.ts';
import { errorTable, HomarusError, isErrorCode } from '../domain/errors.ts';

/**
 * An error as it leaves a workflow: its type is the code of the one table, its details hold the hint, and the result of an
 * operation that did its work all the same.
 */
export function failure(
  code: ErrorCode,
  message: string,
  cause?: unknown,
  hint?: string,
  result?: object,
): ApplicationFailure {
  return ApplicationFailure.create({
    type: code,
    message,
    nonRetryable: true,
    details: [{ hint: hint ?? errorTable[code].hint, ...(result ? { result } : {}) }],
    ...(cause instanceof Error ? { cause } : {}),
  });
}

/** The failure that an activity's failure stands for, with our code and text outermost. */
export function unwrap(error: unknown): unknown {
  if (error instanceof HomarusError) return failure(error.code, error.message, error.cause, error.hint);
  if (isCancellation(error) || !(error instanceof ActivityFailure)) return error;
  const { cause } = error;
  if (cause instanceof ApplicationFailure) {
    const hint = (cause.details?.[0] as { hint?: string } | undefined)?.hint;
    return failure(codeOf(cause), cause.message, undefined, hint);
  }
  if (cause instanceof TimeoutFailure) {
    return failure('NodeFailed', `${error.activityType} did not answer in time (${cause.timeoutType})`, undefined);
  }
  return error;
}

/** Which time ran out, where that is why an activity failed. */
export const timeoutOf = (error: unknown): TimeoutFailure | undefined =>
  error instanceof ActivityFailure && error.cause instanceof TimeoutFailure ? error.cause : undefined;

/** No worker of the node looked at what it was asked to look at. */
export const nobodyLooks = (node: string, error: unknown): ApplicationFailure =>
  failure('NodeUnavailable', `node ${node} does not answer: no worker looks at what is there`, error);

export function codeOf(error: unknown): ErrorCode {
  const type = error instanceof ApplicationFailure ? error.type : undefined;
  return typeof type === 'string' && isErrorCode(type) ? type : 'Internal';
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
