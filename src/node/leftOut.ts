import { HomarusError } from '../domain/errors.ts';
import type { BytePath } from './bytePath.ts';
import { shown } from './bytePath.ts';

export type OnUnreadable = 'fail' | 'skip';

/** One kind of what was left out, and an example of it. */
export interface Example {
  first: BytePath;
  count: number;
}

/** What a snapshot of a root leaves out, counted, with an example of each; or why it cannot go on. */
export class LeftOut {
  readonly #where: string;
  readonly #onUnreadable: OnUnreadable;
  readonly #examples = new Map<string, Example>();

  constructor(node: string, root: string, onUnreadable: OnUnreadable) {
    this.#where = `node ${node}, root ${root}`;
    this.#onUnreadable = onUnreadable;
  }

  /** Gone between the listing of its directory and its link. */
  vanished(path: BytePath): void {
    this.#count(VANISHED, path);
  }

  special(path: BytePath): void {
    this.#count(SPECIAL, path);
  }

  /** Throws `FileUnreadable` unless such files are to be skipped. */
  unreadable(path: BytePath, reason: string): void {
    if (this.#onUnreadable === 'fail') {
      throw new HomarusError('FileUnreadable', `${this.file(path)} cannot be read: ${reason}`);
    }
    this.#count(UNREADABLE, path);
  }

  /** Stored all the same, but worth a word. */
  unlinked(path: BytePath): void {
    this.#count(UNLINKED, path);
  }

  changed(path: BytePath): HomarusError {
    return new HomarusError('FileChanged', `${this.file(path)} was changed in place while it was read`);
  }

  /** For messages. */
  file(path: BytePath): string {
    return path === '' ? this.#where : `${this.#where}: "${shown(path)}"`;
  }

  get skipped(): number {
    return this.#counted(SPECIAL) + this.#counted(UNREADABLE);
  }

  get vanishedCount(): number {
    return this.#counted(VANISHED);
  }

  /** What was counted of each reason that an estimate tells. */
  get examples(): { special?: Example; unreadable?: Example; vanished?: Example } {
    const kinds = { special: SPECIAL, unreadable: UNREADABLE, vanished: VANISHED };
    const found = Object.entries(kinds).map(([why, kind]) => [why, this.#examples.get(kind)] as const);
    return Object.fromEntries(found.filter(([, example]) => example !== undefined));
  }

  /** One for each kind. What vanished is no reason to warn. */
  warnings(): string[] {
    return [...this.#examples]
      .filter(([kind]) => kind !== VANISHED)
      .map(([kind, { first, count }]) => `${this.#where}: ${count} ${kind}, the first is "${shown(first)}"`);
  }

  #counted(kind: string): number {
    return this.#examples.get(kind)?.count ?? 0;
  }

  #count(kind: string, path: BytePath): void {
    const known = this.#examples.get(kind);
    if (known) known.count++;
    else this.#examples.set(kind, { first: path, count: 1 });
  }
}

const VANISHED = 'vanished';
const SPECIAL = 'FIFOs, sockets or devices were skipped';
const UNREADABLE = 'unreadable files or directories were skipped';
const UNLINKED = 'files allow no further link and must stay as they are until they are uploaded';
