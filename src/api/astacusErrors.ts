import { hasCode } from '../domain/errors.ts';
import type { Problem } from './problems.ts';
import { problemOf } from './problems.ts';

/** Errors in the shape that Astacus's clients know: `detail` is theirs, and beside it stands what our own table says. */
export class AstacusError extends Error {
  readonly statusCode: number;
  readonly detail: unknown;
  readonly problem: Partial<Problem> & { reason?: string };

  constructor(statusCode: number, detail: unknown, problem: AstacusError['problem'] = {}) {
    super(JSON.stringify(detail));
    this.statusCode = statusCode;
    this.detail = detail;
    this.problem = problem;
  }
}

/** Of one field at `place`, or of several. */
export function invalid(place: (string | number)[] | null, what: string | object[]): AstacusError {
  const faults = typeof what === 'string' ? [{ loc: place, msg: what, type: 'value_error' }] : what;
  return new AstacusError(422, faults);
}

export const unsupported = (message: string): AstacusError => new AstacusError(501, { code: 'unsupported', message });

export function astacusErrorOf(error: unknown): AstacusError {
  const { detail: reason, status, title, hint } = problemOf(error);
  const more = { status, title, reason, hint };
  if (hasCode(error, 'LockHeld', 'NodeUnavailable', 'NodeTaken')) {
    const message = 'Unable to acquire cluster lock to create operation';
    return new AstacusError(409, { code: 'cluster_lock_unavailable', message }, { ...more, status: 409 });
  }
  return new AstacusError(status, { code: title, message: reason }, more);
}
