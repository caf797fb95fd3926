import { fileAt, shown } from './bytePath.ts';
import type { RestoreRoot } from './compareTarget.ts';
import type { JobContext } from './job.ts';
import { makeDirectory, mend, Parents, placeHardLink, placeSymlink, writeFailure } from './place.ts';
import type { Planned, RestorePlan } from './restorePlan.ts';
import { decodePlanned } from './restorePlan.ts';
import type { Spool } from './spool.ts';
import { rmdirSync, unlinkSync } from './writing.ts';

/** The steps of a restore that are quick enough for the job's own thread: all but the content of files. */
export class PlanSteps {
  readonly #plan: RestorePlan;
  readonly #roots: readonly RestoreRoot[];
  readonly #parents: readonly Parents[];
  readonly #context: JobContext;
  /** Directories that are not covered, but had to be made. */
  readonly #made = new Set<string>();

  constructor(plan: RestorePlan, roots: readonly RestoreRoot[], context: JobContext) {
    this.#plan = plan;
    this.#roots = roots;
    this.#parents = roots.map(({ target }) => new Parents(target.root));
    this.#context = context;
  }

  /** Removes what the tree does not have; how many that were. */
  removeExtras(): number {
    let removed = 0;
    this.#each(this.#plan.removals.forward(), ({ row }, { target }, parents) => {
      const place = fileAt(target.root, row.path);
      parents.check(row.path);
      try {
        if (row.type === 'directory') rmdirSync(place);
        else unlinkSync(place);
        removed++;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'ENOTEMPTY')
          this.#context.warn(`${shown(row.path)} is not removed: something was put into it meanwhile`);
        else if (code !== 'ENOENT') throw error;
      }
    });
    return removed;
  }

  makeDirectories(): void {
    this.#each(this.#plan.directories.forward(), ({ root, leading, row }, { target }, parents) => {
      const made = makeDirectory(target.root, row.path, parents);
      if (!leading || !made) return;
      this.#made.add(`${root}/${row.path}`);
      // At once: if we are stopped, the next restore takes it for somebody else's.
      mend(target.root, { ...row, mode: row.mode | 0o700 }, parents);
    });
  }

  mendKept(): void {
    this.#each(this.#plan.mends.forward(), ({ row }, { target }, parents) => mend(target.root, row, parents));
  }

  placeLinks(): void {
    let number = 0;
    this.#each(this.#plan.links.forward(), ({ row }, { target }, parents) => {
      const name = `link-${number++}`;
      if (row.type === 'symlink') placeSymlink(target, row, name, parents);
      else placeHardLink(target, row.path, row.target ?? '', name, parents);
    });
  }

  /** Sets what directories lose while they are worked in, the deepest first. */
  finishDirectories(): void {
    this.#each(this.#plan.directories.backward(), ({ root, leading, row }, { target }, parents) => {
      if (!leading || this.#made.has(`${root}/${row.path}`)) mend(target.root, row, parents);
    });
  }

  #each(
    frames: ReturnType<Spool['forward']>,
    step: (planned: Planned, root: RestoreRoot, parents: Parents) => void,
  ): void {
    for (const frame of frames) {
      this.#context.throwIfStopped();
      const planned = decodePlanned(frame);
      const root = this.#roots[planned.root] as RestoreRoot;
      try {
        step(planned, root, this.#parents[planned.root] as Parents);
      } catch (error) {
        throw writeFailure(error, root.target.root, planned.row.path);
      }
    }
  }
}
