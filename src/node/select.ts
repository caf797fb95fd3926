import picomatch from 'picomatch';
import { HomarusError } from '../domain/errors.ts';
import type { BytePath } from './bytePath.ts';
import { parentOf, toBytePath } from './bytePath.ts';
import type { Selection } from './walk.ts';

/**
 * Globs are relative to the root and match whole paths: `*` stays within one name, `**` goes through directories, both match
 * names that begin with a dot. What matches a directory covers all below it.
 */
export interface Globs {
  /** Only what one of these covers; all when there are none. */
  include: readonly string[];
  /** But nothing that one of these covers. */
  exclude: readonly string[];
}

interface Glob {
  matches(path: BytePath): boolean;
  /** True for a directory that is not matched, but below which something may be. */
  leads(path: BytePath): boolean;
}

/** `BadInput` for a glob that cannot match anything below a root. */
export function compileSelection({ include, exclude }: Globs): Selection {
  const included = include.map(compile);
  const excluded = exclude.map(compile);
  const isIncluded = include.length === 0 ? () => true : covering(included);
  const isExcluded = covering(excluded);
  return {
    file: (path) => isIncluded(path) && !isExcluded(path),
    directory: (path) => !isExcluded(path) && (isIncluded(path) || included.some((glob) => glob.leads(path))),
  };
}

/** The deepest paths below which all is that the globs cover; the root itself when there are none. */
export function basesOf(globs: readonly string[]): BytePath[] {
  if (globs.length === 0) return [''];
  return [
    ...new Set(
      globs.map((glob) => {
        const parts = normal(glob).split('/');
        const magic = parts.findIndex(isMagic);
        return (magic < 0 ? parts : parts.slice(0, magic)).join('/');
      }),
    ),
  ];
}

/** Whether a glob matches the path or a directory above it; directories are asked once. */
function covering(globs: readonly Glob[]): (path: BytePath) => boolean {
  if (globs.length === 0) return () => false;
  let known: { directory: BytePath; covered: boolean } | undefined;
  const covers = (path: BytePath): boolean => {
    if (globs.some((glob) => glob.matches(path))) return true;
    return path !== '' && covers(parentOf(path));
  };
  return (path) => {
    const directory = parentOf(path);
    if (path === '') return covers('');
    if (known?.directory !== directory) known = { directory, covered: covers(directory) };
    return known.covered || globs.some((glob) => glob.matches(path));
  };
}

const OPTIONS = { dot: true, nonegate: true, strictSlashes: true } as const;

function compile(text: string): Glob {
  const glob = normal(text);
  const matches = picomatch(glob, OPTIONS);
  const parts = glob.split('/');
  // What may contain a slash of its own cannot be looked at name by name.
  const whole = parts.findIndex((part) => part === '**' || /[{}()]/.test(part));
  const names = (whole < 0 ? parts : parts.slice(0, whole)).map((part) => picomatch(part, OPTIONS));
  return {
    matches: (path) => (path === '' ? glob === '**' : matches(path)),
    leads(path) {
      if (path === '') return true;
      const given = path.split('/');
      if (whole < 0 && given.length >= parts.length) return false;
      return given.slice(0, names.length).every((name, place) => names[place]?.(name) === true);
    },
  };
}

function normal(text: string): BytePath {
  const glob = text.replace(/^(\.?\/)+/, '').replace(/\/+$/, '');
  if (glob === '' || glob.split('/').some((part) => part === '..' || part === '.' || part === '')) {
    throw new HomarusError(
      'BadInput',
      `path: "${text}" matches nothing below a root; give e.g. "tables/**" or "log/*.log"`,
    );
  }
  return toBytePath(glob);
}

const isMagic = (part: string): boolean => /[*?[\]{}()!+@|\\]/.test(part);
