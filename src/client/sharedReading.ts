import { createHash } from 'node:crypto';
import type { Mark } from '../storage/marks.ts';
import { listMarks } from '../storage/marks.ts';
import type { Repository } from '../storage/repository.ts';
import { presentRoot } from '../storage/roots.ts';
import type { ListedBackup, Reading } from './reading.ts';
import { withMarks } from './reading.ts';

/** What a storage holds, as it was seen after somebody asked. The same object as long as nothing changed. */
export interface Listing {
  readonly reading: Reading;
  /** Newest first. */
  readonly backups: readonly ListedBackup[];
  /** Another one for each change of root or marks. */
  readonly version: string;
}

/**
 * One look at a storage for all who ask at about the same time: nobody is answered from before he asked, and however many
 * ask, there is one look at a time. A look is two small listings, and reads only what is new.
 */
export class SharedReading {
  readonly #open: () => Promise<Repository>;
  #repository: Repository | undefined;
  #listing: Listing | undefined;
  #marks: ReadonlyMap<string, Mark> = new Map();
  #looking: Promise<Listing> | undefined;
  #next: Promise<Listing> | undefined;

  constructor(open: () => Promise<Repository>) {
    this.#open = open;
  }

  look(): Promise<Listing> {
    if (this.#looking === undefined) return this.#start();
    // The look under way may have begun before the change that is asked for.
    this.#next ??= this.#looking
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.#looking ?? this.#start();
      });
    return this.#next;
  }

  #start(): Promise<Listing> {
    const looking = this.#look().finally(() => {
      this.#looking = undefined;
    });
    this.#looking = looking;
    return looking;
  }

  async #look(): Promise<Listing> {
    try {
      return await this.#refreshed();
    } catch (error) {
      // Something else may be there now than what is remembered.
      const remembered = this.#repository !== undefined;
      this.#repository = undefined;
      this.#listing = undefined;
      this.#marks = new Map();
      if (!remembered) throw error;
      return this.#refreshed();
    }
  }

  async #refreshed(): Promise<Listing> {
    const repository = this.#repository ?? (await this.#open());
    const former = this.#listing;
    const [at, marks] = await Promise.all([
      presentRoot(repository, { cached: former?.reading.at }),
      listMarks(repository, { known: this.#marks }),
    ]);
    this.#repository = repository;
    if (former && at === former.reading.at && isSame(marks, this.#marks)) return former;
    this.#marks = new Map(marks.map((mark) => [mark.key, mark]));
    const reading = { repository, at };
    const seen = createHash('sha256').update([at.hash, ...this.#marks.keys()].join('\n'));
    const version = seen.digest('base64url').slice(0, 22);
    this.#listing = { reading, backups: withMarks(reading, marks), version };
    return this.#listing;
  }
}

const isSame = (marks: readonly Mark[], known: ReadonlyMap<string, Mark>): boolean =>
  marks.length === known.size && marks.every(({ key }) => known.has(key));
