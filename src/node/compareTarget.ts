import { HomarusError } from '../domain/errors.ts';
import type { Row } from '../storage/tree.ts';
import { comparePaths } from '../storage/tree.ts';
import type { BytePath } from './bytePath.ts';
import { isBelow, shown } from './bytePath.ts';
import { Extras, freedBy } from './extras.ts';
import type { Target } from './place.ts';
import { hasAttributes, microseconds } from './place.ts';
import type { RestorePlan } from './restorePlan.ts';
import { encodePlanned } from './restorePlan.ts';
import type { Found } from './targetWalk.ts';
import { walkTarget } from './targetWalk.ts';
import type { Selection } from './walk.ts';

/** A root to be restored. */
export interface RestoreRoot {
  /** Its number in the plan. */
  readonly number: number;
  readonly target: Target;
  readonly device: bigint;
  /** Directories of ours below the root, relative to it: neither removed nor restored over. */
  readonly own: readonly BytePath[];
}

export interface CompareOptions {
  /** `file` tells of any path whether the selection covers it, `directory` whether it may cover what is below. */
  select: Selection;
  /** Whether what the tree does not have may go. */
  removable(path: BytePath): boolean;
  /** Trust no size and time. */
  verify: boolean;
  /** Nothing may be changed, not even the mode of a directory that we cannot read. */
  lookOnly: boolean;
  /** The row with this path, whether selected or not. */
  lookUp(path: BytePath): Promise<Row | undefined>;
  throwIfStopped(): void;
}

/** Bytes to be written to a root's file system, and given free there. */
export interface Space {
  needed: number;
  freed: number;
}

/** Compares a tree with what stands in its target: one pass over both, side by side. Changes nothing. */
export class TargetComparison {
  readonly #plan: RestorePlan;
  readonly #root: RestoreRoot;
  readonly #options: CompareOptions;
  readonly #extras: Extras;
  readonly #walk: Iterator<Found>;
  #next: Found | undefined;
  /** Directories that lead to the present row and are not covered themselves. */
  #leading: Row[] = [];
  /** Files in the target that have another name, too, and are kept: not for two files of the tree. */
  readonly #shared = new Set<bigint>();
  /** Uncovered files that covered hard links lead to: the first such link becomes the file. */
  readonly #promoted = new Map<BytePath, BytePath>();
  readonly space: Space = { needed: 0, freed: 0 };

  constructor(plan: RestorePlan, root: RestoreRoot, options: CompareOptions) {
    this.#plan = plan;
    this.#root = root;
    this.#options = options;
    this.#extras = new Extras(root.target.root, (path, directory) => {
      plan.removals.add(encodePlanned({ root: root.number, row: bareRow(path, directory) }));
    });
    this.#walk = walkTarget(root.target.root, (found) => this.#entered(found), !options.lookOnly);
    this.#advance();
  }

  /** `rows`: the selected ones and what leads to them, in the order of the tree. */
  async compare(rows: AsyncIterable<Row>): Promise<Space> {
    for await (const row of rows) {
      this.#options.throwIfStopped();
      this.#passExtras(row.path);
      const there = this.#next?.path === row.path ? this.#next : undefined;
      // Before the walk goes on: it is told here whether what it found is in the way.
      await this.#row(row, there);
      if (there) this.#advance();
    }
    this.#passExtras(undefined);
    this.#extras.end();
    this.space.freed += this.#extras.freed;
    return this.space;
  }

  #advance(): void {
    const { done, value } = this.#walk.next();
    this.#next = done ? undefined : value;
  }

  #passExtras(until: BytePath | undefined): void {
    while (this.#next && (until === undefined || comparePaths(this.#next.path, until) < 0)) {
      this.#options.throwIfStopped();
      const found = this.#next;
      if (this.#mayGo(found.path)) this.#extras.goes(found);
      else this.#extras.stays(found.path);
      this.#advance();
    }
  }

  #entered(found: Found): boolean {
    if (found.path === '') return true;
    if (this.#isOwn(found.path) || !this.#options.select.directory(found.path)) return false;
    if (found.stat.dev !== this.#root.device) throw otherFileSystem(this.#root.target.root, found.path);
    return true;
  }

  #mayGo(path: BytePath): boolean {
    const { select, removable } = this.#options;
    return path !== '' && !this.#isOwn(path) && select.file(path) && removable(path);
  }

  #isOwn(path: BytePath): boolean {
    return this.#root.own.some((own) => path === own || isBelow(path, own));
  }

  async #row(row: Row, there: Found | undefined): Promise<void> {
    while (this.#leading.length > 0 && !isBelow(row.path, (this.#leading.at(-1) as Row).path)) this.#leading.pop();
    if (!this.#options.select.file(row.path)) {
      if (there) this.#extras.stays(there.path);
      if (row.type === 'directory') this.#leading.push(row);
      return;
    }
    this.#checkOwn(row);
    for (const leading of this.#leading) this.#addDirectory(leading, true);
    this.#leading = [];
    if (row.type === 'directory') {
      this.#addDirectory(row, false);
      return;
    }
    if (there?.stat.isDirectory()) this.#extras.goes(there, true);
    if (row.type === 'file') this.#file(row, there);
    else if (row.type === 'symlink') this.#addLink(row);
    else await this.#hardLink(row, there);
  }

  #addDirectory(row: Row, leading: boolean): void {
    this.#plan.directories.add(encodePlanned({ root: this.#root.number, leading, row }));
  }

  #addLink(row: Row): void {
    this.#plan.links.add(encodePlanned({ root: this.#root.number, row }));
  }

  #file(row: Row, there: Found | undefined): void {
    const { counts, doubtful, mends } = this.#plan;
    const planned = { root: this.#root.number, row };
    counts.files++;
    counts.bytes += row.size;
    if (!there?.stat.isFile() || Number(there.stat.size) !== row.size || !this.#mayKeep(there)) {
      this.writeAnew(row, there);
    } else if (this.#options.verify || !looksRight(there, row)) {
      doubtful.add(encodePlanned(planned));
    } else {
      this.#plan.addKept(row);
      if (!hasAttributes(there.stat, row)) mends.add(encodePlanned(planned));
    }
  }

  /** Plans to write a file, in the place of what is there. */
  writeAnew(row: Row, there: Found | undefined): void {
    this.#plan.addFile(this.#root.number, row);
    // How much of a file with holes will be written is not known.
    if (!row.sparse) this.space.needed += row.size;
    this.space.freed += freedBy(there);
  }

  #mayKeep({ stat }: Found): boolean {
    if (stat.nlink === 1n) return true;
    if (this.#shared.has(stat.ino)) return false;
    this.#shared.add(stat.ino);
    return true;
  }

  async #hardLink(row: Row, there: Found | undefined): Promise<void> {
    const content = row.target ?? '';
    if (this.#options.select.file(content)) {
      this.#addLink(row);
      return;
    }
    const promoted = this.#promoted.get(content);
    if (promoted !== undefined) {
      this.#addLink({ ...row, target: promoted });
      return;
    }
    const file = await this.#options.lookUp(content);
    if (file?.type !== 'file') {
      throw new HomarusError(
        'ObjectDamaged',
        `the tree has no file "${shown(content)}", which "${shown(row.path)}" is a link to`,
      );
    }
    this.#promoted.set(content, row.path);
    this.#file({ ...file, path: row.path }, there);
  }

  #checkOwn(row: Row): void {
    const holdsOwn = row.type !== 'directory' && this.#root.own.some((own) => isBelow(own, row.path));
    if (!holdsOwn && !this.#isOwn(row.path)) return;
    const { target } = this.#root;
    throw new HomarusError(
      'UnsafePath',
      `the backup has "${shown(row.path)}", where homarus keeps its own files in ${shown(target.root)}; nothing was changed`,
      { hint: 'Restore to another directory with --to, or leave it out with --path.' },
    );
  }
}

/** By size (already compared), mtime and mode. */
const looksRight = ({ stat }: Found, row: Row): boolean =>
  microseconds(stat.mtimeNs) === microseconds(row.mtime) && (Number(stat.mode) & 0o7777) === row.mode;

function bareRow(path: BytePath, directory: boolean): Row {
  return { path, type: directory ? 'directory' : 'file', size: 0, mtime: 0n, mode: 0, uid: 0, gid: 0 };
}

function otherFileSystem(root: BytePath, path: BytePath): HomarusError {
  return new HomarusError(
    'DifferentFileSystem',
    `${shown(`${root}/${path}`)} is another file system than ${shown(root)}; nothing was changed`,
    { hint: 'Unmount it, or leave it out of the restore with --path.' },
  );
}
