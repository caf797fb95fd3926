import { statSync } from 'node:fs';
import { join } from 'node:path';
import { HomarusError } from '../domain/errors.ts';
import type { BytePath } from './bytePath.ts';
import { toBytePath } from './bytePath.ts';
import type { DataRoot } from './settings.ts';
import { isAttempt, isRestore, namesIn } from './workDirectory.ts';
import { linkSync, mkdirSync, rmdirSync, rmSync, unlinkSync, writeFileSync } from './writing.ts';

const PER_SHARD = 1_000;
const PROBE = 'probe-';

/** Where link `number` of an attempt stands: sharded, so that no directory grows large. `base`: `<linkDir>/<attempt>`. */
export function linkPath(base: BytePath, number: number): BytePath {
  return `${shardOf(base, number)}/${number}`;
}

const shardOf = (base: BytePath, number: number): BytePath =>
  `${base}/${String(Math.floor(number / PER_SHARD)).padStart(3, '0')}`;

/** The hard links of one root that keep a snapshot's files alive until they are uploaded. */
export class LinkDirectory {
  readonly #node: string;
  readonly #root: DataRoot;

  constructor(node: string, root: DataRoot) {
    this.#node = node;
    this.#root = root;
  }

  /** Makes it. `DifferentFileSystem` where links to the root's files cannot be, `ConfigInvalid` where we may not write. */
  ensureUsable(): void {
    const { path, linkDir } = this.#root;
    const probe = join(linkDir, `${PROBE}${process.pid}`);
    const second = `${probe}-link`;
    try {
      // Not made: it may be a mount that is not there.
      statSync(path);
      mkdirSync(linkDir, { recursive: true, mode: 0o700 });
      if (statSync(linkDir).dev !== statSync(path).dev)
        throw this.#elsewhere('it is on another file system than the root');
      unlinkIfThere(probe);
      unlinkIfThere(second);
      writeFileSync(probe, '');
      try {
        linkSync(probe, second);
      } catch (cause) {
        throw this.#elsewhere(`its file system makes no hard links (${(cause as Error).message})`, cause);
      }
    } catch (cause) {
      if (cause instanceof HomarusError) throw cause;
      if ((cause as NodeJS.ErrnoException).path === path) throw this.#noRoot(cause as Error);
      throw new HomarusError('ConfigInvalid', `${this.#name} cannot be used: ${(cause as Error).message}`, {
        cause,
        hint: 'Let the worker write there, or set linkDir to another directory on the same file system as the root.',
      });
    } finally {
      unlinkIfThere(probe);
      unlinkIfThere(second);
    }
  }

  /** Removes what killed processes left: that of all operations but `keep`, which may go on. */
  dropLeftovers(keep?: string): void {
    this.#dropWhere((name) => keep === undefined || !(isAttempt(name, keep) || isRestore(name, keep)));
    for (const name of namesIn(this.#root.linkDir)) {
      if (name.startsWith(PROBE)) unlinkIfThere(join(this.#root.linkDir, name));
    }
  }

  /** Removes the links of all attempts of an operation, and what it was about to restore. */
  drop(operation: string): void {
    this.#dropWhere((name) => isAttempt(name, operation) || isRestore(name, operation));
  }

  /** Links for the attempt of this name (`attemptName`). */
  open(attempt: string): AttemptLinks {
    return new AttemptLinks(toBytePath(join(this.#root.linkDir, attempt)));
  }

  #dropWhere(which: (name: string) => boolean): void {
    for (const name of namesIn(this.#root.linkDir)) {
      if (isAttempt(name) && which(name)) this.#remove(name);
      else if (isRestore(name) && which(name)) rmSync(join(this.#root.linkDir, name), { recursive: true, force: true });
    }
  }

  /** Two levels of our own making; what else stands there is not ours and keeps its directory. */
  #remove(attempt: string): void {
    const base = join(this.#root.linkDir, attempt);
    for (const shard of namesIn(base)) {
      const directory = join(base, shard);
      for (const name of namesIn(directory)) unlinkIfThere(join(directory, name));
      rmdirSync(directory);
    }
    rmdirSync(base);
  }

  #noRoot(cause: Error): HomarusError {
    const { name, path } = this.#root;
    return new HomarusError(
      'FileUnreadable',
      `node ${this.#node}, root ${name}: ${path} cannot be used: ${cause.message}`,
      {
        cause,
        hint: 'Mount or make the directory first; a restore fills an empty one.',
      },
    );
  }

  #elsewhere(why: string, cause?: unknown): HomarusError {
    return new HomarusError('DifferentFileSystem', `${this.#name} cannot hold links to ${this.#root.path}: ${why}`, {
      cause,
      hint: 'Set linkDir to a directory on the same file system as the root.',
    });
  }

  get #name(): string {
    return `node ${this.#node}, root ${this.#root.name}: the link directory ${this.#root.linkDir}`;
  }
}

export class AttemptLinks {
  readonly base: BytePath;
  #shard = '';

  constructor(base: BytePath) {
    this.base = base;
  }

  /** Links `file` (absolute) as `number`; file system errors are the caller's. */
  link(number: number, file: BytePath): BytePath {
    const shard = shardOf(this.base, number);
    if (shard !== this.#shard) {
      mkdirSync(Buffer.from(shard, 'latin1'), { recursive: true, mode: 0o700 });
      this.#shard = shard;
    }
    const path = linkPath(this.base, number);
    linkSync(Buffer.from(file, 'latin1'), Buffer.from(path, 'latin1'));
    return path;
  }

  unlink(number: number): void {
    unlinkSync(Buffer.from(linkPath(this.base, number), 'latin1'));
  }
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
