import type { BigIntStats } from 'node:fs';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { BytePath } from '../../src/node/bytePath.ts';
import { fileAt, shown, toBytePath } from '../../src/node/bytePath.ts';
import { microseconds } from '../../src/node/place.ts';

export interface CompareTreesOptions {
  /** Path below the roots that is no part of the trees: `.homarus` unless given. */
  leaveOut?: string;
  /** So many differences are enough. */
  most?: number;
}

/**
 * Compares two directories, themselves included, as a restore must leave them: names, types, bytes, modes, owners, mtimes
 * to the microsecond, targets of links, which files are one by hard links, holes. Answers the differences, for people.
 */
export function compareTrees(left: string, right: string, options: CompareTreesOptions = {}): string[] {
  const { leaveOut = '.homarus', most = 20 } = options;
  const ours = toBytePath(leaveOut);
  const differences: string[] = [];
  const links = [new HardLinks(), new HardLinks()] as const;
  const roots = [toBytePath(left), toBytePath(right)] as const;
  const differ = (path: BytePath, what: string): void => {
    if (differences.length < most) differences.push(`${shown(path) || '.'}: ${what}`);
  };

  const walk = (path: BytePath): void => {
    if (path === ours || differences.length >= most) return;
    const [one, other] = roots.map((root) => lstatSync(fileAt(root, path), { bigint: true, throwIfNoEntry: false }));
    if (!one || !other) {
      differ(path, one ? 'missing' : 'not expected');
      return;
    }
    if (typeOf(one) !== typeOf(other)) {
      differ(path, `${typeOf(one)} became ${typeOf(other)}`);
      return;
    }
    // The link directory may have come or gone since, and has changed the time of the root.
    const timed = path !== '' || roots.every((root) => !lstatSync(fileAt(root, ours), { throwIfNoEntry: false }));
    for (const [what, a, b] of attributes(one, other, timed)) if (a !== b) differ(path, `${what} ${a} became ${b}`);
    if (one.isDirectory()) {
      const names = new Set(roots.flatMap((root) => readdirSync(fileAt(root, path), { encoding: 'latin1' })));
      for (const name of [...names].sort()) walk(path === '' ? name : `${path}/${name}`);
    } else if (one.isSymbolicLink()) {
      const [a, b] = roots.map((root) => readlinkSync(fileAt(root, path), 'latin1'));
      if (a !== b) differ(path, `link to ${shown(a as string)} became one to ${shown(b as string)}`);
    } else if (one.isFile()) {
      if (links[0].first(one, path) !== links[1].first(other, path)) differ(path, 'is hard-linked to other files');
      if (hasHoles(one) && !hasHoles(other)) differ(path, 'lost its holes');
      const [a, b] = roots.map((root) => readFileSync(fileAt(root, path)));
      if (!a?.equals(b as Buffer)) differ(path, 'other bytes');
    }
  };
  walk('');
  return differences;
}

const typeOf = (stat: BigIntStats): string =>
  stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symbolic link' : 'special file';

function attributes(one: BigIntStats, other: BigIntStats, timed: boolean): [string, bigint, bigint][] {
  const found: [string, bigint, bigint][] = [
    ['uid', one.uid, other.uid],
    ['gid', one.gid, other.gid],
  ];
  // A symbolic link has no mode of its own.
  if (!one.isSymbolicLink()) found.push(['mode', one.mode, other.mode]);
  if (one.isFile()) found.push(['size', one.size, other.size]);
  if (timed) found.push(['mtime', microseconds(one.mtimeNs), microseconds(other.mtimeNs)]);
  return found;
}

const hasHoles = ({ blocks, size }: BigIntStats): boolean => blocks * 512n + 4096n <= size;

/** The path under which each file was first seen. */
class HardLinks {
  readonly #first = new Map<bigint, BytePath>();

  first({ ino }: BigIntStats, path: BytePath): BytePath {
    const known = this.#first.get(ino);
    if (known === undefined) this.#first.set(ino, path);
    return known ?? path;
  }
}
