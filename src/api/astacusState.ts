import type { OperationStatus } from '../client/progress.ts';
import type { Phase } from '../domain/operations.ts';

/** Before the lock is held. */
const STARTING = new Set<Phase>(['starting', 'waiting for the lock', 'locking']);

export interface AstacusState {
  state: 'starting' | 'running' | 'fail' | 'done';
  progress?: { handled: number; failed: number; total: number; final: boolean };
}

/** What Astacus's clients poll. A lock is done when it is held, an unlock when it is not held any more. */
export function astacusState(kind: string, status: OperationStatus): AstacusState {
  const state = stateOf(kind, status);
  if (kind !== 'backup' && kind !== 'restore') return { state };
  return { state, progress: progressOf(status) };
}

function stateOf(kind: string, { state, progress }: OperationStatus): AstacusState['state'] {
  if (state === 'succeeded') return 'done';
  if (state !== 'running') return kind === 'unlock' ? 'done' : 'fail';
  if (kind === 'lock' && progress?.phase === 'held') return 'done';
  return progress === null || STARTING.has(progress.phase) ? 'starting' : 'running';
}

/** In files. */
function progressOf({ state, progress, result }: OperationStatus): AstacusState['progress'] & object {
  if (state === 'succeeded') {
    const { files = 0 } = (result ?? {}) as { files?: number };
    return { handled: files, failed: 0, total: files, final: true };
  }
  const byNode = Object.values(progress?.byNode ?? {});
  const sum = (field: 'filesDone' | 'filesTotal'): number => byNode.reduce((total, node) => total + node[field], 0);
  const failed = state === 'running' ? 0 : 1;
  return { handled: sum('filesDone'), failed, total: sum('filesTotal') + failed, final: state !== 'running' };
}
