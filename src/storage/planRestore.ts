import type { BackupEntry, RootDocument } from '../domain/documents.ts';
import { HomarusError } from '../domain/errors.ts';
import { matchNodes } from '../domain/matchNodes.ts';
import type { ClusterSettings, RestorePlan, RestoreRequest } from '../domain/operations.ts';
import { readManifest } from './backups.ts';
import type { CallOptions } from './objectStore.ts';
import type { Repository } from './repository.ts';
import { presentRoot } from './roots.ts';

/** Which backup a restore takes, and which node takes whose files. Refusals come before anything is locked. */
export async function planRestore(
  repository: Repository,
  request: RestoreRequest,
  settings: ClusterSettings,
  options: CallOptions,
): Promise<RestorePlan> {
  const { root } = await presentRoot(repository, options);
  const backup = findBackup(root, request.backup, request.before);
  const manifest = await readManifest(repository, backup, options);
  const pairs = matchNodes(manifest.nodes, settings.nodes, request.nodes);
  return { backup, pairs, settings, lockStorage: root.cluster === settings.cluster };
}

/** A backup by its name, or the latest one that finished before a time. `BackupNotFound` says what there is. */
export function findBackup(root: RootDocument, name: string, before?: string): BackupEntry {
  if (name !== 'latest') {
    const found = root.backups.find((entry) => entry.name === name);
    if (found) return found;
    throw new HomarusError('BackupNotFound', `there is no backup ${name} of cluster ${root.cluster}`);
  }
  const limit = before === undefined ? Number.POSITIVE_INFINITY : Date.parse(before);
  if (Number.isNaN(limit))
    throw new HomarusError('BadInput', `before: "${before}" is not a time such as 2026-11-24T03:00:00Z`);
  const latest = root.backups
    .filter((entry) => Date.parse(entry.finished) < limit)
    .reduce<BackupEntry | undefined>(
      (last, entry) => (last && last.finished >= entry.finished ? last : entry),
      undefined,
    );
  if (latest) return latest;
  const when = before === undefined ? '' : ` before ${before}`;
  throw new HomarusError('BackupNotFound', `cluster ${root.cluster} has no backup${when}`);
}
