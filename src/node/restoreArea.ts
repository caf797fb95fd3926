import { lstatSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { HomarusError } from '../domain/errors.ts';
import type { BytePath } from './bytePath.ts';
import { fileAt, toBytePath } from './bytePath.ts';
import type { RestoreRoot } from './compareTarget.ts';
import { seconds } from './place.ts';
import { isRestore, restoreName } from './workDirectory.ts';
import { lostItsLock, lutimesSync, mkdirSync, rmdirSync, rmSync, writeFileSync } from './writing.ts';

const MARK = 'restoring';

/** Absolute paths. */
export interface AreaPlace {
  path: string;
  linkDir: string;
  /** Of the node whose root it is. */
  stateDir?: string | undefined;
}

/**
 * Where the files of one root are written before they get their places: in the link directory, on the root's file system.
 * A mark stands there as long as a restore is not safely on the disk.
 */
export class RestoreArea {
  readonly root: RestoreRoot;
  /**
   * A restore was cut off by a crash of the machine: what it wrote may have the right size and time, but not its bytes,
   * so nothing is trusted by them.
   */
  readonly afterCrash: boolean;
  readonly #linkDir: string;
  readonly #temporary: string;
  readonly #made: boolean;

  /** Makes the root, if need be, and takes away what killed restores left. `DifferentFileSystem`, `UnsafePath`. */
  constructor(number: number, place: AreaPlace, operation: string) {
    mkdirSync(place.path, { recursive: true });
    const root = realpathSync(place.path);
    const below = relativeBelow(place.path, place.linkDir);
    this.#linkDir = below === undefined ? place.linkDir : join(root, below);
    this.#made = below !== undefined && makeReal(root, below);
    mkdirSync(this.#linkDir, { recursive: true, mode: 0o700 });
    const { dev } = lstatSync(root, { bigint: true });
    if (lstatSync(this.#linkDir, { bigint: true }).dev !== dev) {
      throw new HomarusError('DifferentFileSystem', `${this.#linkDir} is on another file system than ${root}`);
    }
    for (const name of readdirSync(this.#linkDir)) {
      if (isRestore(name)) rmSync(join(this.#linkDir, name), { recursive: true, force: true });
    }
    this.#temporary = join(this.#linkDir, restoreName(operation));
    mkdirSync(this.#temporary, { mode: 0o700 });
    this.afterCrash = this.#mark();
    this.root = {
      number,
      target: { root: toBytePath(root), temporary: toBytePath(this.#temporary) },
      device: dev,
      own: ownBelow(place),
    };
  }

  /** Removes what is left of the temporary files; with `durable` all that was restored is on the disk. */
  close(durable: boolean): void {
    // The next restore takes away what is left.
    if (lostItsLock()) return;
    rmSync(this.#temporary, { recursive: true, force: true });
    if (!durable) return;
    rmSync(join(this.#linkDir, MARK), { force: true });
    if (!this.#made) return;
    // Only if nobody else uses it by now; it must leave no trace in the time of the directory that it stood in.
    const above = dirname(this.#linkDir);
    const { mtimeNs } = lstatSync(above, { bigint: true });
    try {
      rmdirSync(this.#linkDir);
      lutimesSync(above, seconds(mtimeNs), seconds(mtimeNs));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
    }
  }

  /** Marks this boot of the machine; true when an earlier one was marked and not done. */
  #mark(): boolean {
    const marked = markIn(this.#linkDir);
    if (marked === undefined) writeFileSync(join(this.#linkDir, MARK), bootId(), { mode: 0o600 });
    return wasCutOff(this.#linkDir);
  }
}

/** The root as a restore would find it; nothing is made. `above`: the nearest directory that is there already. */
export function foreseenRoot(
  number: number,
  place: AreaPlace,
  operation: string,
): { root: RestoreRoot; above: string; afterCrash: boolean } {
  let above = place.path;
  while (lstatSync(above, { throwIfNoEntry: false }) === undefined && dirname(above) !== above) above = dirname(above);
  const real = realpathSync(above);
  const root = above === place.path ? real : place.path;
  return {
    above: real,
    afterCrash: wasCutOff(place.linkDir),
    root: {
      number,
      target: { root: toBytePath(root), temporary: toBytePath(join(place.linkDir, restoreName(operation))) },
      device: lstatSync(real, { bigint: true }).dev,
      own: ownBelow(place),
    },
  };
}

/** The directory that a restore to another place than the node's root works in. */
export const areaOf = (directory: string): string => join(directory, '.homarus');

/** What a restore noted of the boot of the machine under which it began; undefined when none is under way. */
function markIn(linkDir: string): string | undefined {
  try {
    return readFileSync(join(linkDir, MARK), 'utf8');
  } catch {
    return undefined;
  }
}

const wasCutOff = (linkDir: string): boolean => (markIn(linkDir) ?? bootId()) !== bootId();

/** Our own directories below a root, relative to it. */
const ownBelow = ({ path, linkDir, stateDir }: AreaPlace): BytePath[] =>
  [relativeBelow(path, linkDir), stateDir === undefined ? undefined : relativeBelow(path, stateDir)]
    .filter((own) => own !== undefined)
    .map(toBytePath);

function relativeBelow(root: string, directory: string): string | undefined {
  const path = relative(root, directory);
  return path === '' || path === '..' || path.startsWith('../') ? undefined : path;
}

/** Real directories all the way: a link that somebody put there is not followed. True when the last was made. */
function makeReal(root: string, below: string): boolean {
  let made = false;
  let path: BytePath = toBytePath(root);
  for (const name of toBytePath(below).split('/')) {
    path = `${path}/${name}`;
    const found = lstatSync(fileAt(path, ''), { throwIfNoEntry: false });
    if (found && !found.isDirectory()) {
      throw new HomarusError('UnsafePath', `${join(root, below)} cannot be used: ${basename(path)} is not a directory`);
    }
    made = found === undefined;
    if (made) mkdirSync(fileAt(path, ''), { mode: 0o700 });
  }
  return made;
}

/** Differs after the machine was started again; where it is not known, restores are trusted. */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return 'unknown';
  }
}
