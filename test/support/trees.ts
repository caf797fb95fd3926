import {
  chmodSync,
  closeSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import fc from 'fast-check';
import { fileAt, toBytePath } from '../../src/node/bytePath.ts';

export { compareTrees } from './compareTrees.ts';

/** Directories as a test wants them: their description, a random one, and one that was made worse. */

export interface FileSpec {
  type: 'file';
  /** Bytes. */
  size: number;
  /** Of its content: the same seed and size make the same bytes. */
  seed: number;
  mode: number;
  /** Holes: only its last bytes are written. */
  sparse?: boolean;
}

export type Entry =
  | FileSpec
  | { type: 'directory'; mode: number; entries: Tree }
  | { type: 'symlink'; target: string }
  /** To an earlier file of the same directory, if there is one. */
  | { type: 'hardlink' };

/** By their names: strings with one char for each byte. */
export type Tree = Record<string, Entry>;

/** Makes the tree in `directory`, with times of its own for everything. */
export function makeTree(directory: string, tree: Tree): void {
  mkdirSync(directory, { recursive: true });
  make(toBytePath(directory), tree, { number: 0 });
}

function make(directory: string, tree: Tree, clock: { number: number }): void {
  let lastFile: Buffer | undefined;
  for (const name of Object.keys(tree)) {
    const entry = tree[name]!;
    const path = fileAt(directory, name);
    if (entry.type === 'directory') {
      mkdirSync(path);
      make(`${directory}/${name}`, entry.entries, clock);
      chmodSync(path, entry.mode);
    } else if (entry.type === 'symlink') {
      symlinkSync(Buffer.from(entry.target, 'latin1'), path);
    } else if (entry.type === 'hardlink') {
      if (lastFile) linkSync(lastFile, path);
      continue;
    } else {
      writeSpec(path, entry);
      lastFile = path;
    }
    const time = 1_600_000_000 + clock.number * 1000 + (clock.number * 7919) / 1_000_003;
    clock.number++;
    lutimesSync(path, time, time);
  }
}

function writeSpec(path: Buffer, { size, seed, mode, sparse }: FileSpec): void {
  const content = contentOf(size, seed);
  if (sparse) {
    const file = openSync(path, 'w');
    ftruncateSync(file, size);
    writeSync(file, content.subarray(Math.max(0, size - 100)), 0, undefined, Math.max(0, size - 100));
    closeSync(file);
  } else {
    writeFileSync(path, content);
  }
  chmodSync(path, mode);
}

/** Half compressible. */
export function contentOf(size: number, seed: number): Buffer {
  const content = Buffer.alloc(size, `content ${seed} `);
  let state = seed * 2654435761 + 1;
  for (let at = 0; at + 4 <= size; at += 8) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + at;
    content.writeInt32LE(state | 0, at);
  }
  return content;
}

const letters = [...'abc.-~ \n\xff\xc3*'];
const names = fc.oneof(
  { weight: 8, arbitrary: fc.string({ unit: fc.constantFrom(...letters), minLength: 1, maxLength: 4 }) },
  { weight: 1, arbitrary: fc.constant('x'.repeat(255)) },
  { weight: 1, arbitrary: fc.constantFrom('-rf', '.hidden', '\xe9', '\x01') },
);
const okay = names.filter((name) => name !== '.' && name !== '..');
const mode = fc.constantFrom(0o644, 0o600, 0o444, 0o4755, 0o000);
const size = fc.oneof(
  fc.constantFrom(0, 1, 128, 129, 4096, 65_536, 65_537, 200_000),
  fc.integer({ min: 0, max: 300_000 }),
);
const file: fc.Arbitrary<Entry> = fc.record({
  type: fc.constant('file' as const),
  size,
  seed: fc.integer({ min: 0, max: 5 }),
  mode,
  sparse: fc.integer({ min: 0, max: 9 }).map((number) => number === 0),
});
const link: fc.Arbitrary<Entry> = fc.oneof(
  fc.record({
    type: fc.constant('symlink' as const),
    target: fc.constantFrom('a', '/etc/passwd', '..', 'b/c', '\xff'),
  }),
  fc.record({ type: fc.constant('hardlink' as const) }),
);

/** Random directories with all kinds of entries and names. */
export const trees: fc.Arbitrary<Tree> = fc.letrec<{ tree: Tree; entry: Entry; directory: Entry }>((tie) => ({
  tree: fc.dictionary(okay, tie('entry'), { maxKeys: 6, depthIdentifier: 'tree' }),
  entry: fc.oneof({ depthIdentifier: 'tree', maxDepth: 3 }, file, file, link, tie('directory')),
  directory: fc.record({
    type: fc.constant('directory' as const),
    mode: fc.constantFrom(0o755, 0o700, 0o555, 0o000),
    entries: tie('tree'),
  }),
})).tree;

export type Damage = 'remove' | 'truncate' | 'overwrite' | 'symlink' | 'directory' | 'mode' | 'extra' | 'touch';

export const damages = fc.array(
  fc.tuple(
    fc.nat(),
    fc.constantFrom<Damage>('remove', 'truncate', 'overwrite', 'symlink', 'directory', 'mode', 'extra', 'touch'),
  ),
  { maxLength: 12 },
);

/** Does to entries of a directory, chosen by number, what goes wrong with files. `elsewhere` is where links lead. */
export function damage(directory: string, wanted: [number, Damage][], elsewhere: string): void {
  const root = toBytePath(directory);
  for (const [number, how] of wanted) {
    const paths = pathsIn(root).filter((path) => path !== '.homarus' && !path.startsWith('.homarus/'));
    const path = paths[number % Math.max(paths.length, 1)];
    if (path === undefined) continue;
    const place = fileAt(root, path);
    const stat = lstatSync(place);
    if (how === 'extra') {
      const base = stat.isDirectory() ? place : fileAt(root, path.slice(0, Math.max(0, path.lastIndexOf('/'))));
      const extra = Buffer.concat([base, Buffer.from(`/extra-${number}`)]);
      rmSync(extra, { recursive: true, force: true });
      if (number % 2) mkdirSync(extra);
      writeFileSync(number % 2 ? Buffer.concat([extra, Buffer.from('/inside')]) : extra, 'not in the backup');
    } else if (how === 'mode' && !stat.isSymbolicLink()) {
      chmodSync(place, stat.mode ^ 0o011);
    } else if (how === 'touch') {
      lutimesSync(place, 1, 1);
    } else if (how === 'truncate' && stat.isFile()) {
      writeFileSync(place, readFileSync(place).subarray(0, stat.size >> 1));
    } else if (how === 'overwrite' && stat.isFile()) {
      writeFileSync(place, Buffer.alloc(stat.size, 'x'));
    } else {
      rmSync(place, { recursive: true });
      if (how === 'symlink') symlinkSync(elsewhere, place);
      if (how === 'directory') {
        mkdirSync(place);
        writeFileSync(Buffer.concat([place, Buffer.from('/inside')]), 'in the way');
      }
    }
  }
}

/** All paths below a directory, as bytes of its tree. */
export function pathsIn(root: string, path = ''): string[] {
  return readdirSync(fileAt(root, path), { encoding: 'latin1' }).flatMap((name) => {
    const child = path === '' ? name : `${path}/${name}`;
    return lstatSync(fileAt(root, child)).isDirectory() ? [child, ...pathsIn(root, child)] : [child];
  });
}

/** What stands in a directory, to see that it was left alone. */
export function listing(root: string): string[] {
  return pathsIn(toBytePath(root))
    .map((path) => {
      const place = fileAt(toBytePath(root), path);
      const stat = lstatSync(place);
      const content = stat.isFile() ? readFileSync(place, 'latin1') : stat.isSymbolicLink() ? readlinkSync(place) : '';
      return `${path} ${stat.mode.toString(8)} ${stat.mtimeMs} ${content}`;
    })
    .sort();
}
