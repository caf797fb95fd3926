import { condition, defineSignal, setHandler } from '@temporalio/workflow';
import type { LockRequest } from '../domain/requests.ts';
import type { Skipped } from '../domain/results.ts';
import { Operation } from './operation.ts';

export const unlockSignal = defineSignal('unlock');

/** Holds the cluster for its operator until he unlocks it or the time that he gave is over. */
export async function lock(
  cluster: string,
  request: LockRequest,
): Promise<{ ended: 'unlocked' | 'expired' } | Skipped> {
  const operation = new Operation('lock', cluster, request);
  let unlocked = false;
  setHandler(unlockSignal, () => {
    unlocked = true;
  });
  return operation.ends(() =>
    operation.attempts(
      (attempt) => ({
        attempt,
        storageName: request.storage,
        lockStorage: true,
        nodes: (settings) => settings.nodes,
      }),
      async () => {
        operation.enter('held');
        return { ended: (await condition(() => unlocked, request.for)) ? 'unlocked' : 'expired' };
      },
    ),
  );
}
