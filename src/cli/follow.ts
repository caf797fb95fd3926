import { setTimeout as pause } from 'node:timers/promises';
import type { OperationStatus } from '../client/progress.ts';
import { HomarusError } from '../domain/errors.ts';
import type { ProgressView } from './progressView.ts';

/** Between two looks, ms; and how long a silent Temporal is asked again: it may be restarted under an operation. */
const POLL = 500;
const PATIENCE = 120_000;

export interface Following {
  status(): Promise<OperationStatus>;
  /** Resolves when it has ended, however: nobody waits for the next look then. */
  ended?: Promise<unknown>;
  view: ProgressView;
  /** Aborted by Ctrl-C: the operation goes on, the following ends. */
  interrupted: AbortSignal;
  /** Enough was seen, though it still runs. */
  enough?: (status: OperationStatus) => boolean;
  /** ms */
  poll?: number;
  patience?: number;
}

/** Shows an operation until it ends; undefined when it was interrupted. */
export async function follow(following: Following): Promise<OperationStatus | undefined> {
  const { view, interrupted, enough = () => false, poll = POLL, patience = PATIENCE } = following;
  const ended = following.ended?.catch(() => undefined);
  const stopped = new Promise<undefined>((resolve) => {
    interrupted.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  let answered = performance.now();
  try {
    while (!interrupted.aborted) {
      try {
        const status = await Promise.race([following.status(), stopped]);
        if (status === undefined || status.state !== 'running' || enough(status)) return status;
        answered = performance.now();
        view.show(status);
      } catch (error) {
        if (error instanceof HomarusError) throw error;
        if (performance.now() - answered > patience) throw unreachable(error);
      }
      const looking = pause(poll, undefined, { signal: interrupted }).catch(() => undefined);
      await (ended ? Promise.race([looking, ended]) : looking);
    }
    return undefined;
  } finally {
    view.end();
  }
}

function unreachable(cause: unknown): HomarusError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new HomarusError('TemporalUnreachable', `Temporal does not answer any more: ${reason}`, {
    hint: 'The operation goes on as soon as Temporal runs again; "homarus follow" shows it.',
    cause,
  });
}
