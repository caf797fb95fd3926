import { HomarusError } from '../domain/errors.ts';
import type { BytePath } from './bytePath.ts';
import { isBelow, shown } from './bytePath.ts';
import type { Found } from './targetWalk.ts';

interface OpenDirectory {
  path: BytePath;
  /** Something in it stays, so it stays too. */
  stays: boolean;
  /** The tree has something else in its place. */
  must: boolean;
}

/**
 * What stands in a target and not in the tree, in an order in which it can be removed: a directory after what is in it, and
 * only if nothing of that stays.
 */
export class Extras {
  readonly #root: BytePath;
  readonly #remove: (path: BytePath, directory: boolean) => void;
  readonly #open: OpenDirectory[] = [];
  /** Bytes that the removal gives free. */
  freed = 0;

  constructor(root: BytePath, remove: (path: BytePath, directory: boolean) => void) {
    this.#root = root;
    this.#remove = remove;
  }

  /** Something that goes; with `must` the tree has something else in its place. Asked in the order of the walk. */
  goes(found: Found, must = false): void {
    this.#leave(found.path);
    if (found.stat.isDirectory()) {
      this.#open.push({ path: found.path, stays: false, must });
      return;
    }
    this.freed += freedBy(found);
    this.#remove(found.path, false);
  }

  /** Something that stays, whatever it is. */
  stays(path: BytePath): void {
    this.#leave(path);
    const inside = this.#open.at(-1);
    if (inside) inside.stays = true;
  }

  end(): void {
    this.#leave();
  }

  #leave(next?: BytePath): void {
    for (let last = this.#open.at(-1); last; last = this.#open.at(-1)) {
      if (next !== undefined && isBelow(next, last.path)) return;
      this.#open.pop();
      if (!last.stays) {
        this.#remove(last.path, true);
        continue;
      }
      if (last.must) {
        throw new HomarusError(
          'UnsafePath',
          `${shown(`${this.#root}/${last.path}`)} is a directory with files that a restore must leave alone, ` +
            'and no directory in the backup; nothing was changed',
          { hint: 'Move the directory away, or choose another directory with --to.' },
        );
      }
      const above = this.#open.at(-1);
      if (above) above.stays = true;
    }
  }
}

/** Bytes that are free when this name is gone. */
export function freedBy(found: Found | undefined): number {
  return found?.stat.isFile() && found.stat.nlink === 1n ? Number(found.stat.blocks) * 512 : 0;
}
