import { uuid4 } from '@temporalio/workflow';
import type { StorageGrant } from '../domain/operations.ts';
import type { CleanupRequest } from '../domain/requests.ts';
import type { CleanupResult, Skipped } from '../domain/results.ts';
import { coordinatorWork } from './activityProxies.ts';
import { Operation } from './operation.ts';

/**
 * Applies retention, or deletes the backups that the request names, and then everything that no backup needs. It locks
 * the storage alone: nodes have no part in it, and one that is down need not keep storage from being freed.
 */
export async function cleanup(cluster: string, request: CleanupRequest = {}): Promise<CleanupResult | Skipped> {
  const operation = new Operation('cleanup', cluster, request);
  return operation.ends(() =>
    operation.attempts(
      (attempt) => ({ attempt, storageName: request.storage, lockStorage: true, nodes: () => [] }),
      async (locked) => {
        operation.enter('cleanup');
        return coordinatorWork(locked.settings.lock).cleanUp({
          grant: locked.storage as StorageGrant,
          nonce: uuid4(),
          request,
        });
      },
    ),
  );
}
