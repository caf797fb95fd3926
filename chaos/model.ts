import type { OperationStatus } from '../src/client/progress.ts';
import type { BackupEntry } from '../src/domain/documents.ts';
import type { BackupResult } from '../src/domain/results.ts';
import type { Fault } from './schedule.ts';
import type { Lengths } from './writers.ts';

/** What each node held, by path, but for records: `fingerprint`. */
export type Content = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** Complete backups that a cleanup keeps. */
export const KEPT = 4;

export interface Known {
  content: Content;
  /** So many records it has at least: those that were there when it began. */
  least: Lengths;
  partial: boolean;
}

/** How an operation ended, as far as it decides which backups there are. */
export interface Ended {
  kind: 'backup' | 'cleanup' | 'restore';
  state: 'succeeded' | 'failed' | 'cancelled';
  /** Of a backup that succeeded: its name, and the nodes that it was to do without. */
  backup: string | undefined;
  missing: readonly string[];
  /** Terminated or begun anew: what it had sent may stand though it says nothing of it. */
  doubtful: boolean;
  /** Names, when it began. */
  listedBefore: readonly string[];
  /** Of a backup: records that were there when it began. */
  written?: Lengths;
}

export function endOf(status: OperationStatus, faults: readonly Fault[] = []): Omit<Ended, 'listedBefore'> {
  const { kind, state, result } = status as OperationStatus & { kind: Ended['kind']; state: Ended['state'] };
  const doubtful = faults.some((fault) => fault.kind === 'terminate' || fault.kind === 'reset');
  const made = kind === 'backup' && state === 'succeeded' ? (result as BackupResult) : undefined;
  return { kind, state, doubtful, backup: made?.backup, missing: made?.missing ?? [] };
}

/** Knows what every backup must contain, and which there must be. */
export class Model {
  readonly #known = new Map<string, Known>();

  /** Newest first. */
  get complete(): string[] {
    return this.#sorted(({ partial }) => !partial);
  }

  get names(): string[] {
    return this.#sorted(() => true);
  }

  of(backup: string): Known {
    return this.#known.get(backup) ?? { content: new Map(), least: new Map(), partial: false };
  }

  /**
   * Compares with what is listed after operations that all found `present` in the roots, answers what is wrong, and knows what is listed from now on.
   */
  agree(listed: readonly BackupEntry[], ended: readonly Ended[], present: Content): string[] {
    const wrong: string[] = [];
    const know = (name: string, partial: readonly string[], least: Lengths = new Map()): void => {
      const content = new Map([...present].filter(([node]) => !partial.includes(node)));
      this.#known.set(name, { content, least, partial: partial.length > 0 });
    };
    for (const { backup, missing, written } of ended) if (backup !== undefined) know(backup, missing, written);
    const first = ended.find(({ kind }) => kind === 'backup');
    const doubtful = ended.filter((one) => one.kind === 'backup' && one.doubtful).length;
    const unsaid = listed.filter(({ name }) => !this.#known.has(name));
    // A run that is begun anew may commit beside the one before it.
    if (unsaid.length > 2 * doubtful) {
      wrong.push(`${unsaid.map(({ name }) => name).join(', ')}: listed, though no operation says that it made it`);
    }
    for (const { name, partial = [] } of listed) {
      const known = this.#known.get(name);
      if (!known) know(name, partial, first?.written);
      else if (known.partial !== partial.length > 0) wrong.push(`${name} is listed as without [${partial}]`);
    }
    const names = new Set(listed.map(({ name }) => name));
    const gone = this.names.filter((name) => !names.has(name));
    const kept = this.complete.slice(0, KEPT);
    const cleanups = ended.filter(({ kind }) => kind === 'cleanup');
    if (gone.length > 0 && cleanups.length === 0) wrong.push(`${gone.join(', ')}: gone without a cleanup`);
    for (const name of gone.filter((one) => kept.includes(one)))
      wrong.push(`${name} is gone, though it is one of the last ${KEPT} complete ones`);
    for (const { listedBefore } of cleanups.filter(({ state }) => state === 'succeeded')) {
      const complete = this.complete.filter((name) => listedBefore.includes(name));
      const stay = complete.slice(KEPT).filter((name) => names.has(name));
      if (stay.length > 0) wrong.push(`a cleanup succeeded and did not remove ${stay.join(', ')}`);
    }
    for (const name of gone) this.#known.delete(name);
    return wrong;
  }

  #sorted(which: (known: Known) => boolean): string[] {
    const names = [...this.#known].filter(([, known]) => which(known)).map(([name]) => name);
    return names.sort().reverse();
  }
}
