import type { BackupEntry, ManifestNode, RootDocument } from '../domain/documents.ts';
import { errorTable, HomarusError } from '../domain/errors.ts';
import { matchNodes } from '../domain/matchNodes.ts';
import type { ClusterSettings, DrillPlan, RestorePlan } from '../domain/operations.ts';
import type { DrillRequest, RestorePair, RestoreRequest } from '../domain/requests.ts';
import { named, readManifest } from './backups.ts';
import type { CallOptions } from './objectStore.ts';
import type { Repository } from './repository.ts';
import type { RootAt } from './roots.ts';

/**
 * Which backup a restore takes, and which node takes whose files. Refusals come before anything is locked. Of a partial
 * backup what it has is restored: the nodes that it is without are answered, and left as they are.
 */
export async function planRestore(
  repository: Repository,
  { root }: RootAt,
  request: RestoreRequest,
  settings: ClusterSettings,
  options: CallOptions,
): Promise<RestorePlan> {
  const backup = findBackup(root, request.backup, request);
  const manifest = await readManifest(repository, backup, options);
  const { partial = [] } = backup;
  const pairs = matchNodes(manifest.nodes, settings.nodes, {
    only: request.nodes,
    missing: partial,
    map: request.map,
  });
  const missing = request.nodes === undefined ? partial : [];
  const { id } = repository.parameters;
  const { plugin } = manifest;
  return {
    ...{ backup, pairs, missing, settings, plugin, repository: id, bytesOf: bytesOf(manifest.nodes) },
    lockStorage: root.cluster === settings.cluster,
  };
}

const bytesOf = (nodes: readonly ManifestNode[]): Record<string, number> =>
  Object.fromEntries(
    nodes.map(({ id, roots }) => [id, roots.reduce((sum, { totals }) => sum + totals.bytes, 0)] as const),
  );

/** What a drill restores, and where: each node what a restore would bring it, or one node all. */
export async function planDrill(
  repository: Repository,
  { root }: RootAt,
  request: DrillRequest,
  settings: ClusterSettings,
  options: CallOptions & { directory: string; seed: number },
): Promise<DrillPlan> {
  const { node, percent = 100 } = request;
  if (!(percent > 0 && percent <= 100)) throw new HomarusError('BadInput', `percent: ${percent} is not from 1 to 100`);
  if (node !== undefined && request.check) {
    throw new HomarusError('BadInput', 'check: a plugin checks a node with its own files; without "node" it can');
  }
  const backup = findBackup(root, request.backup ?? 'latest');
  const manifest = await readManifest(repository, backup, options);
  const { partial: missing = [] } = backup;
  const pairs =
    node === undefined
      ? matchNodes(manifest.nodes, settings.nodes, { missing })
      : manifest.nodes.map(({ id }): RestorePair => ({ from: id, to: knownNode(settings, node), how: 'map' }));
  return {
    ...{ backup, pairs, missing, settings, plugin: manifest.plugin, repository: repository.parameters.id },
    lockStorage: false,
    directory: request.directory ?? options.directory,
    sample: { percent, seed: options.seed },
    bytesOf: bytesOf(manifest.nodes),
  };
}

function knownNode({ nodes }: ClusterSettings, id: string): string {
  if (nodes.some((node) => node.id === id)) return id;
  const known = nodes.map((node) => node.id).join(', ');
  throw new HomarusError('BadInput', `node: there is no ${id} in the cluster; it has ${known}`);
}

export interface Latest {
  /** Finished before this time (ISO 8601). */
  before?: string | undefined;
  /** Has these nodes, be it partial; without them only a complete backup is the latest. */
  nodes?: readonly string[] | undefined;
}

/** A backup by its name, or the latest one that fits. `BackupNotFound` says what there is, or what was likely meant. */
export function findBackup(root: RootDocument, name: string, { before, nodes }: Latest = {}): BackupEntry {
  if (name !== 'latest') {
    const found = named(root, name);
    if (found) return found;
    const near = nearest(root, name);
    throw new HomarusError('BackupNotFound', `there is no backup ${name} of cluster ${root.cluster}`, {
      ...(near === undefined ? {} : { hint: `Did you mean ${near}? ${errorTable.BackupNotFound.hint}` }),
    });
  }
  const limit = before === undefined ? Number.POSITIVE_INFINITY : Date.parse(before);
  if (Number.isNaN(limit))
    throw new HomarusError('BadInput', `before: "${before}" is not a time such as 2026-11-24T03:00:00Z`);
  const inTime = root.backups.filter((entry) => Date.parse(entry.finished) < limit);
  const lacks = ({ partial = [] }: BackupEntry): boolean =>
    nodes === undefined ? partial.length > 0 : nodes.some((node) => partial.includes(node));
  const latest = lastOf(inTime.filter((entry) => !lacks(entry)));
  if (latest) return latest;
  const when = before === undefined ? '' : ` before ${before}`;
  const partial = lastOf(inTime);
  if (partial === undefined) {
    throw new HomarusError('BackupNotFound', `cluster ${root.cluster} has no backup${when}`);
  }
  const what = nodes === undefined ? 'no complete backup' : `no backup of ${nodes.join(', ')}`;
  throw new HomarusError(
    'BackupNotFound',
    `cluster ${root.cluster} has ${what}${when}; the latest, ${partial.name}, is without ${partial.partial?.join(', ')}`,
    { hint: `Give the name of a partial backup to restore what it has, e.g. ${partial.name}.` },
  );
}

/** The newest of those that begin most alike; names are times, so the rest says little. */
function nearest({ backups }: RootDocument, name: string): string | undefined {
  const alike = (other: string): number => {
    let same = 0;
    while (same < name.length && name[same] === other[same]) same++;
    return same;
  };
  const best = backups.reduce<string | undefined>(
    (near, one) =>
      near === undefined || alike(one.name) > alike(near) || (alike(one.name) === alike(near) && one.name > near)
        ? one.name
        : near,
    undefined,
  );
  return best !== undefined && alike(best) >= 'YYYY'.length ? best : undefined;
}

const lastOf = (backups: readonly BackupEntry[]): BackupEntry | undefined =>
  backups.reduce<BackupEntry | undefined>(
    (last, entry) => (last && last.finished >= entry.finished ? last : entry),
    undefined,
  );
