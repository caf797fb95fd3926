import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { basesOf, compileSelection } from '../../src/node/select.ts';

const selects = (include: string[], exclude: string[] = []) => compileSelection({ include, exclude });
const chosen = (globs: string[], paths: string[]): string[] => paths.filter((path) => selects(globs).file(path));

describe('a glob', () => {
  test('keeps to one name with a star, and goes through directories with two', () => {
    expect(chosen(['*.db'], ['a.db', 'x/a.db', 'a.dbx'])).toEqual(['a.db']);
    expect(chosen(['**/*.db'], ['a.db', 'x/a.db', 'x/y/a.db'])).toEqual(['a.db', 'x/a.db', 'x/y/a.db']);
    expect(chosen(['t/*/x'], ['t/a/x', 't/a/b/x', 'u/a/x'])).toEqual(['t/a/x']);
  });

  test('matches dotfiles', () => {
    expect(chosen(['*'], ['.hidden', 'seen'])).toEqual(['.hidden', 'seen']);
    expect(chosen(['**/x'], ['.d/.e/x'])).toEqual(['.d/.e/x']);
  });

  test('that matches a directory covers all below it', () => {
    expect(chosen(['tables'], ['tables', 'tables/a/b', 'tables2/a'])).toEqual(['tables', 'tables/a/b']);
    expect(chosen(['t*/'], ['tables/a', 'other/a'])).toEqual(['tables/a']);
  });

  test('may begin with a slash or a dot, and is refused where it can match nothing', () => {
    expect(chosen(['/log/x', './log/y'], ['log/x', 'log/y'])).toEqual(['log/x', 'log/y']);
    for (const bad of ['', '/', '../x', 'a/../b', 'a//b'])
      expect(() => selects([bad])).toThrow(/matches nothing below a root/);
  });

  test('is for bytes: a name need not be UTF-8', () => {
    expect(chosen(['caf\u00e9'], [Buffer.from('café').toString('latin1')]).length).toBe(1);
    expect(chosen(['x*'], ['x\xff\xfe'])).toEqual(['x\xff\xfe']);
  });
});

test('what is excluded is excluded whatever includes it', () => {
  const selection = selects(['data/**'], ['**/tmp']);
  expect(selection.file('data/a')).toBe(true);
  expect(selection.file('data/tmp/a')).toBe(false);
  expect(selection.directory('data/x/tmp')).toBe(false);
});

test('only directories that may lead to something selected are entered', () => {
  const { directory } = selects(['a/b/*.db', 'c/**/x', 'd/{e,f/g}/h']);
  expect(['', 'a', 'a/b', 'c', 'c/q/r', 'd', 'd/f', 'd/f/g'].filter((path) => !directory(path))).toEqual([]);
  expect(['b', 'a/c', 'a/b/c', 'e'].filter(directory)).toEqual([]);
});

test('the bases of globs are the directories that they begin with', () => {
  expect(basesOf([])).toEqual(['']);
  expect(basesOf(['tables/x/*.db', 'log', '**/y', 'tables/x/[ab]'])).toEqual(['tables/x', 'log', '']);
});

test('whatever is selected can be reached', () => {
  const name = fc.constantFrom('a', 'b', '.c', 'ab');
  const part = fc.constantFrom('a', 'b', '*', '**', 'a*', '?', '{a,b}', '[ab]');
  const path = fc.array(name, { minLength: 1, maxLength: 4 });
  const globs = fc.array(
    fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/')),
    { maxLength: 3 },
  );
  fc.assert(
    fc.property(globs, globs, path, (include, exclude, parts) => {
      const selection = compileSelection({ include, exclude });
      if (!selection.file(parts.join('/'))) return;
      for (let length = 0; length < parts.length; length++) {
        expect(selection.directory(parts.slice(0, length).join('/'))).toBe(true);
      }
      const bases = basesOf(include);
      expect(bases.some((base) => base === '' || `${parts.join('/')}/`.startsWith(`${base}/`))).toBe(true);
    }),
    { numRuns: 1000 },
  );
});
