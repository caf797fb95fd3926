import {
  ApplicationFailure,
  CancelledFailure,
  TerminatedFailure,
  TimeoutFailure,
  WorkflowFailedError,
} from '@temporalio/client';
import { HomarusError, isErrorCode } from '../domain/errors.ts';

/** What an operation found that failed because of it; null for other failures. */
export function resultIn(error: unknown): unknown {
  const cause = error instanceof WorkflowFailedError ? error.cause : undefined;
  const details = cause instanceof ApplicationFailure ? (cause.details?.[0] as { result?: unknown } | undefined) : {};
  return details?.result ?? null;
}

/** What a failed workflow says, as the error that everybody else shows. */
export function operationFailure(id: string, error: unknown): unknown {
  if (!(error instanceof WorkflowFailedError)) return error;
  const { cause } = error;
  if (cause instanceof CancelledFailure) return new HomarusError('Cancelled', `operation ${id} was cancelled`);
  if (cause instanceof TerminatedFailure) {
    return new HomarusError('Cancelled', `operation ${id} was terminated: ${cause.message}`, {
      hint: 'Nobody unlocked the cluster: it unlocks itself when the time of the lock is over.',
    });
  }
  if (cause instanceof TimeoutFailure) return new HomarusError('Internal', `operation ${id} timed out`);
  if (cause instanceof ApplicationFailure) {
    const code = typeof cause.type === 'string' && isErrorCode(cause.type) ? cause.type : 'Internal';
    const hint = (cause.details?.[0] as { hint?: string } | undefined)?.hint;
    return new HomarusError(code, cause.message, { cause, ...(hint === undefined ? {} : { hint }) });
  }
  return new HomarusError('Internal', `operation ${id} failed: ${error.message}`, { cause: error });
}
