import { HomarusError } from '../domain/errors.ts';
import { LinkDirectory } from './linkDirectory.ts';
import { promoteRetained } from './retained.ts';
import type { NodeSettings } from './settings.ts';
import { dropWork, isAttempt, isRestore, workDirectory } from './workDirectory.ts';

export interface FinishArgs {
  node: NodeSettings;
  operation: string;
  /** Ids of the backup that the operation became, and of its repository; null when it did not. */
  committed: { backup: string; repository: string } | null;
}

/** Ends an operation on a node, whatever way it went: keeps what it learnt, drops its links and files. May be repeated. */
export function finish({ node, operation, committed }: FinishArgs): void {
  const { stateDir } = node;
  for (const root of node.roots) {
    if (committed) {
      const attempt = { operation, epoch: epochOfBackup(committed.backup) };
      promoteRetained({ stateDir, workDirectory: workDirectory(stateDir, attempt), root: root.name }, committed);
    }
    new LinkDirectory(node.id, root).drop(operation);
  }
  dropWork(stateDir, (name) => isAttempt(name, operation) || isRestore(name, operation));
}

/** A backup's id begins with the epoch of the attempt that made it. */
function epochOfBackup(id: string): number {
  const [, epoch] = /^(\d{16})-/.exec(id) ?? [];
  if (epoch === undefined) throw new HomarusError('BadInput', `"${id}" is no id of a backup`);
  return Number(epoch);
}
