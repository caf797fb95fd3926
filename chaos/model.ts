import type { BackupEntry } from '../src/domain/documents.ts';

/** What each node held, by path: `fingerprint`. */
export type Content = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** Complete backups that a cleanup keeps. */
export const KEPT = 4;

interface Known {
  content: Content;
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

  contentOf(backup: string): Content {
    return this.#known.get(backup)?.content ?? new Map();
  }

  /**
   * Compares with what is listed after operations that all found `present` in the roots, answers what is wrong, and knows what is listed from now on.
   */
  agree(listed: readonly BackupEntry[], ended: readonly Ended[], present: Content): string[] {
    const wrong: string[] = [];
    const know = (name: string, partial: readonly string[]): void => {
      const content = new Map([...present].filter(([node]) => !partial.includes(node)));
      this.#known.set(name, { content, partial: partial.length > 0 });
    };
    for (const { backup, missing } of ended) if (backup !== undefined) know(backup, missing);
    const doubtful = ended.filter((one) => one.kind === 'backup' && one.doubtful).length;
    const unsaid = listed.filter(({ name }) => !this.#known.has(name));
    // A run that is begun anew may commit beside the one before it.
    if (unsaid.length > 2 * doubtful) {
      wrong.push(`${unsaid.map(({ name }) => name).join(', ')}: listed, though no operation says that it made it`);
    }
    for (const { name, partial = [] } of listed) {
      const known = this.#known.get(name);
      if (!known) know(name, partial);
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
