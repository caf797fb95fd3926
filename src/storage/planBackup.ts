import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { PlanReceipt, SnapshotReceipt, StorageGrant } from '../domain/operations.ts';
import { adoptOrphans } from './adopt.ts';
import { ChunkIndex } from './chunkIndex.ts';
import { lockLost } from './lock.ts';
import type { CallOptions } from './objectStore.ts';
import { openIndexes } from './openIndexes.ts';
import type { UploadPlan } from './plan.ts';
import { CHUNK_RECORD_BYTES, planUploads } from './plan.ts';
import type { Repository } from './repository.ts';
import type { RootAt } from './roots.ts';
import { presentRoot } from './roots.ts';
import { readStaged, stageRecords, stagingOf } from './staging.ts';

/**
 * Plans the uploads of a backup from what the nodes staged and what the lock's root leads to, and stages each node's
 * share. What a died backup stored is adopted: its packs get an index of their own, which the commit will name. `present`:
 * the root, if it was read just now.
 */
export async function planBackup(
  repository: Repository,
  input: { grant: StorageGrant; snapshots: SnapshotReceipt[] },
  options: CallOptions & { directory: string; present?: RootAt },
): Promise<PlanReceipt> {
  const { grant } = input;
  const planned = options.present ?? (await presentRoot(repository, options));
  if (planned.root.number !== grant.root) throw lockLost(planned.root, grant.epoch);
  const directory = await mkdtemp(join(options.directory, 'plan-'));
  try {
    const orphans = await adoptOrphans(repository, planned.root, grant.epoch, { ...options, directory });
    const indexes = await openIndexes(repository, planned.root, options);
    const adopted = orphans ? await ChunkIndex.open(repository, orphans, options) : undefined;
    const holders = input.snapshots.map((receipt) => ({
      node: receipt.node,
      chunks: readStaged(repository, receipt.chunks, CHUNK_RECORD_BYTES, options),
    }));
    const plan = await planUploads(holders, adopted ? [...indexes, adopted] : indexes, {
      directory,
      isAdopted: (index) => adopted !== undefined && index === adopted,
    });
    try {
      const wanted = await stageShares(repository, input, plan, options);
      return { wanted, chunks: plan.chunks, bytes: plan.bytes, adopted: plan.adopted, orphans };
    } finally {
      plan.close();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function stageShares(
  repository: Repository,
  { grant, snapshots }: { grant: StorageGrant; snapshots: SnapshotReceipt[] },
  plan: UploadPlan,
  options: CallOptions,
): Promise<PlanReceipt['wanted']> {
  const staging = { epoch: grant.epoch, operation: grant.attempt.operation };
  const wanted: PlanReceipt['wanted'] = [];
  for (const { node, records, chunks, bytes } of plan.shares) {
    const own = snapshots.find((receipt) => receipt.node === node)?.chunks;
    // All that it has: the list is there already.
    if (own?.records === chunks) {
      wanted.push({ node, list: own, bytes });
      continue;
    }
    const prefix = `${stagingOf(repository.sealing, staging, node)}wanted`;
    const list = await stageRecords(repository, prefix, CHUNK_RECORD_BYTES, records, options);
    wanted.push({ node, list, bytes });
  }
  return wanted;
}
