import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HomarusError, noSpaceAt } from '../domain/errors.ts';
import { count, hash, parsed, record } from '../domain/shape.ts';
import type { Repository } from './repository.ts';
import type { RootAt } from './roots.ts';
import { presentRoot } from './roots.ts';

interface Seen {
  number: number;
  hash: string;
}
const seenState = record({ number: count, hash });

/**
 * Remembers the highest root that this machine saw of each repository, in `<stateDir>/seen/<repository id>.json`: a
 * storage that was put back to an older state is refused instead of believed.
 */
export class SeenRoots {
  readonly #directory: string;

  constructor(stateDir: string) {
    this.#directory = join(stateDir, 'seen');
  }

  /** `RolledBack` when a higher root was seen, or another with this number; remembers it otherwise. */
  async check(repository: Repository, at: RootAt): Promise<void> {
    await this.refuseOlder(repository, at);
    const seen = await this.#read(repository.parameters.id);
    if (seen === undefined || seen.number < at.root.number) await this.#remember(repository, at);
  }

  /** The same, and remembers nothing: for who only looks in. */
  async refuseOlder(repository: Repository, at: RootAt): Promise<void> {
    const seen = await this.#read(repository.parameters.id);
    if (seen === undefined) return;
    // What another process has seen since `at` was read is newer than `at`, and there.
    const now = at.root.number < seen.number ? await presentRoot(repository) : at;
    const { number } = now.root;
    if (number > seen.number || (number === seen.number && now.hash === seen.hash)) return;
    const what = number < seen.number ? `is at root ${number}` : `has another root ${number}`;
    throw new HomarusError(
      'RolledBack',
      `${repository.store.description} ${what}, but root ${seen.number} (${seen.hash.slice(0, 16)}) was seen there`,
      {
        hint: 'Somebody put an older state back. If that is meant, run "homarus accept-rollback" on every machine that refuses it.',
      },
    );
  }

  /** Believes this root whatever was seen; answers the number of the highest one that was, if it is another. */
  async accept(repository: Repository, at: RootAt): Promise<number | undefined> {
    const seen = await this.#read(repository.parameters.id);
    await this.#remember(repository, at);
    return seen && (seen.number !== at.root.number || seen.hash !== at.hash) ? seen.number : undefined;
  }

  async #remember(repository: Repository, { root: { number }, hash }: RootAt): Promise<void> {
    const { id } = repository.parameters;
    const seen = await this.#read(id);
    if (seen?.number !== number || seen.hash !== hash) await this.#write(id, { number, hash });
  }

  #path(id: string): string {
    return join(this.#directory, `${id}.json`);
  }

  async #read(id: string): Promise<Seen | undefined> {
    try {
      // Cut short by a crash, or damaged from outside: as good as never seen.
      return parsed<Seen>(await readFile(this.#path(id), 'utf8'), seenState);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  async #write(id: string, seen: Seen): Promise<void> {
    const prefix = `.${id}-`;
    const aside = join(this.#directory, `${prefix}${randomUUID()}`);
    try {
      await mkdir(this.#directory, { recursive: true });
      await writeFile(aside, JSON.stringify(seen), { flush: true });
      await rename(aside, this.#path(id));
    } catch (error) {
      // Another process was first, and swept our file with those that killed ones left: what it remembers is as good.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      await rm(aside, { force: true });
      throw noSpaceAt(this.#path(id), error) ?? error;
    }
    for (const name of await readdir(this.#directory)) {
      if (name.startsWith(prefix)) await rm(join(this.#directory, name), { force: true });
    }
  }
}
