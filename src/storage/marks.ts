import { setTimeout as pause } from 'node:timers/promises';
import { markShape } from '../domain/documentShapes.ts';
import type { BackupEntry, MarkDocument, RootDocument } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import { HomarusError, hasCode } from '../domain/errors.ts';
import type { DrillPace } from '../domain/operations.ts';
import type { DrillRecord } from '../domain/results.ts';
import { newId } from './ids.ts';
import type { CallOptions } from './objectStore.ts';
import type { Repository } from './repository.ts';
import { checkedJson, openJson, sealJson } from './repository.ts';
import { describeHolder, presentRoot } from './roots.ts';

/** Marks stand beside a backup and are written without the lock. A pin keeps its backup from cleanups. */

export interface Mark extends MarkDocument {
  key: string;
}

export interface PinOptions extends CallOptions {
  by: string;
  note?: string;
  /** ISO 8601 */
  until?: string;
  /** How long a cleanup that is under way is waited for, ms. */
  patience?: number;
}

const POLL = 500;

/**
 * Pins a backup. It returns when no cleanup can remove the backup any more: the pin is there, the backup still listed,
 * and no cleanup under way that may have looked before. `BackupNotFound`, `BackupRemoved`; `LockHeld` when a cleanup
 * outlasts the patience: the pin stays, and counts for all cleanups but that one.
 */
export async function pin(repository: Repository, backup: string, options: PinOptions): Promise<Mark> {
  let at = await presentRoot(repository, options);
  if (!lists(at.root, backup)) {
    throw new HomarusError('BackupNotFound', `there is no backup ${backup} of cluster ${at.root.cluster}`);
  }
  const id = newId(at.root.epoch);
  const key = keys.mark(backup, id);
  const { by, note = '', until } = options;
  const now = new Date().toISOString();
  const mark: MarkDocument = { version: 1, backup, kind: 'pin', at: now, by, note, ...(until ? { until } : {}) };
  await repository.store.create(key, sealJson(repository, { kind: 'mark', key }, mark), options);
  const deadline = performance.now() + (options.patience ?? 0);
  for (;;) {
    at = await presentRoot(repository, { ...options, cached: at });
    if (!lists(at.root, backup)) {
      throw new HomarusError('BackupRemoved', `backup ${backup} was removed before it was pinned`);
    }
    const { holder } = at.root;
    if (holder?.kind !== 'cleanup') return { ...mark, key };
    if (performance.now() > deadline) {
      throw new HomarusError(
        'LockHeld',
        `backup ${backup} has its pin, but may still be removed by ${describeHolder(holder)}`,
        { hint: 'Pin it again when the cleanup has ended.' },
      );
    }
    await pause(POLL, undefined, options);
  }
}

/** Removes a backup's pins; how many there were. */
export async function unpin(repository: Repository, backup: string, options: CallOptions = {}): Promise<number> {
  const marks = await listMarks(repository, { ...options, backup });
  const pins = marks.filter(({ kind }) => kind === 'pin').map(({ key }) => key);
  if (pins.length > 0) await repository.store.remove(pins, options);
  return pins.length;
}

export interface MarkOptions extends CallOptions {
  backup?: string;
  /** What was read before by these keys: a mark never changes. */
  known?: ReadonlyMap<string, Mark>;
}

/**
 * All marks, or those of one backup. A mark that cannot be read counts as a pin. A cleanup reads them after it took the
 * lock and again before its commit.
 */
export async function listMarks(repository: Repository, options: MarkOptions = {}): Promise<Mark[]> {
  const marks: Mark[] = [];
  const prefix = options.backup === undefined ? 'marks/' : `marks/${options.backup}/`;
  for await (const { key } of repository.store.list(prefix, options)) {
    const known = options.known?.get(key);
    const stored = known ? undefined : await repository.store.read(key, undefined, options);
    if (known) marks.push(known);
    else if (stored) marks.push({ ...openMark(repository, key, stored), key });
  }
  return marks;
}

/** Keeps with a backup how a drill of it went; nothing where the backup is not listed any more. */
export async function noteDrill(
  repository: Repository,
  backup: string,
  { by, drill, ...options }: CallOptions & { by: string; drill: DrillRecord },
): Promise<void> {
  const { root } = await presentRoot(repository, options);
  if (!lists(root, backup)) return;
  const key = keys.mark(backup, newId(root.epoch));
  const mark: MarkDocument = {
    ...{ version: 1, backup, kind: 'drill', at: new Date().toISOString(), by, note: '' },
    drill,
  };
  await repository.store.create(key, sealJson(repository, { kind: 'mark', key }, mark), options);
}

export interface Drill extends DrillRecord {
  /** When it ended (ISO 8601). */
  at: string;
  by: string;
}

/** The latest drill of each backup that had one. */
export function latestDrills(marks: readonly MarkDocument[]): Map<string, Drill> {
  const latest = new Map<string, Drill>();
  for (const { backup, at, by, drill } of marks) {
    if (drill !== undefined && (latest.get(backup)?.at ?? '') <= at) latest.set(backup, { ...drill, at, by });
  }
  return latest;
}

/** How fast the last drill was that went well; null when there was none. */
export async function drillPace(repository: Repository, options: CallOptions): Promise<DrillPace | null> {
  const { root } = await presentRoot(repository, options);
  const drills = [...latestDrills(await listMarks(repository, options))].filter(([, { ok }]) => ok);
  const [last] = drills.toSorted(([, a], [, b]) => (a.at < b.at ? 1 : -1));
  const backup = root.backups.find(({ name }) => name === last?.[0]);
  return last && backup ? { bytes: backup.bytes, expectedMs: last[1].expectedMs } : null;
}

/** The pinned backups by name, each with the end of its longest pin; null: for good. */
export async function pinnedBackups(
  repository: Repository,
  options?: CallOptions,
): Promise<Map<string, { until: string | null }>> {
  return pinsIn(await listMarks(repository, options));
}

export function pinsIn(marks: readonly Mark[]): Map<string, { until: string | null }> {
  const held = new Map<string, { until: string | null }>();
  for (const { backup, kind, until = null } of marks) {
    if (kind === 'drill') continue;
    const known = held.get(backup)?.until;
    if (known === null) continue;
    if (until === null || known === undefined || Date.parse(until) > Date.parse(known)) held.set(backup, { until });
  }
  return held;
}

function openMark(repository: Repository, key: string, stored: Buffer): MarkDocument {
  try {
    return checkedJson({ kind: 'mark', key }, openJson(repository, { kind: 'mark', key }, stored), markShape);
  } catch (error) {
    if (!hasCode(error, 'ObjectDamaged')) throw error;
    const backup = key.split('/')[1] as string;
    return { version: 1, backup, kind: 'pin', at: '', by: '', note: `${key} is damaged` };
  }
}

const lists = (root: RootDocument, name: string): boolean =>
  root.backups.some((backup: BackupEntry) => backup.name === name);
