import type { ListedBackup } from '../client/reading.ts';
import type { Listing } from '../client/sharedReading.ts';
import { readManifest } from '../storage/backups.ts';
import { inOrder } from '../storage/inOrder.ts';

/** Manifests read at once. */
const AT_ONCE = 16;

export interface AstacusBackup {
  name: string;
  start: string;
  end: string;
  plugin: string;
  attempt: number;
  nodes: number;
  files: number;
  total_size: number;
  upload_size: number;
  upload_stored_size: number;
  cluster_files: number;
  cluster_data_size: number;
  tiered_storage_size: null;
}

/** The backups of a storage as Astacus lists them, oldest first. The attempt stands in the manifest, which never changes. */
export function listedForAstacus(): (listing: Listing) => Promise<AstacusBackup[]> {
  let attempts = new Map<string, number>();
  return async ({ reading: { repository }, backups }) => {
    const known = new Map<string, number>();
    const one = async (entry: ListedBackup): Promise<AstacusBackup> => {
      const attempt = attempts.get(entry.id) ?? (await readManifest(repository, entry)).attempt;
      known.set(entry.id, attempt);
      return shown(entry, attempt);
    };
    const listed: AstacusBackup[] = [];
    for await (const backup of inOrder(AT_ONCE, backups.toReversed(), one)) listed.push(backup);
    attempts = new Map([...attempts, ...known]);
    return listed;
  };
}

const shown = (entry: ListedBackup, attempt: number): AstacusBackup => ({
  name: entry.name,
  start: entry.started,
  end: entry.finished,
  plugin: entry.plugin,
  attempt,
  nodes: entry.nodes,
  files: entry.files,
  total_size: entry.bytes,
  upload_size: entry.added,
  upload_stored_size: entry.stored,
  // At most: what nodes have in common is not told apart here.
  cluster_files: entry.files,
  cluster_data_size: entry.bytes,
  tiered_storage_size: null,
});
