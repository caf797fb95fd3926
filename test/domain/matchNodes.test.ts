import { expect, test } from '@jest/globals';
import { matchNodes } from '../../src/domain/matchNodes.ts';

const nodes = (...named: string[]) => named.map((text) => ({ id: text.split('@')[0]!, az: text.split('@')[1] ?? '' }));
const mapped = (from: string[], to: string[], ...map: string[]): string[] =>
  matchNodes(nodes(...from), nodes(...to), {
    map: map.map((text) => ({ from: text.split('=')[0]!, to: text.split('=')[1]! })),
  }).map((pair) => `${pair.from}>${pair.to} ${pair.how}`);
const pairs = (from: string[], to: string[], only?: string[], missing: string[] = []): string[] =>
  matchNodes(nodes(...from), nodes(...to), { only, missing }).map((pair) => `${pair.from}>${pair.to}`);

test('nodes take over what had their id', () => {
  expect(pairs(['a', 'b'], ['b', 'a', 'c'])).toEqual(['a>a', 'b>b']);
});

test('a renamed node takes over what was alone in its availability zone', () => {
  expect(pairs(['a@x', 'b@y'], ['new@y', 'a@x'])).toEqual(['a>a', 'b>new']);
  expect(pairs(['b@y', 'a@x'], ['p@x', 'q@y'])).toEqual(['b>q', 'a>p']);
});

test('zones are matched by name, never by rank, and never where it is not clear', () => {
  expect(() => pairs(['a@x', 'b@y'], ['p@v', 'q@w'])).toThrow(
    /can take the files of a, b, by id or by availability zone: the backup has a \(az x\), b \(az y\)/,
  );
  expect(() => pairs(['a@x', 'b@x'], ['p@x', 'q@x'])).toThrow(/can take the files of a, b/);
  expect(() => pairs(['a@x', 'b@x'], ['a@x'])).toThrow(/can take the files of b/);
  expect(() => pairs(['a'], ['p'])).toThrow(/can take the files of a/);
});

test('with chosen nodes only those need a match', () => {
  expect(pairs(['a', 'b', 'gone'], ['a', 'b'], ['b'])).toEqual(['b>b']);
  expect(() => pairs(['a'], ['a', 'c'], ['c'])).toThrow(/the backup has nothing for node c/);
  expect(() => pairs(['a'], ['a'], ['z'])).toThrow('node: there is no z in the cluster; it has a');
});

test('a node that the backup is without takes nothing of others, and says why when it is asked for', () => {
  expect(pairs(['a@x', 'b@y'], ['a@x', 'c@y'])).toEqual(['a>a', 'b>c']);
  expect(() => pairs(['a@x', 'b@y'], ['a@x', 'c@y'], undefined, ['c'])).toThrow(/can take the files of b/);
  expect(pairs(['a@x'], ['a@x', 'c@y'], undefined, ['c'])).toEqual(['a>a']);
  expect(() => pairs(['a'], ['a', 'c'], ['c'], ['c'])).toThrow(/nothing for node c.*: the partial backup has a/);
});

test('a pair that is given goes before ids and zones, and the others are matched without it', () => {
  expect(mapped(['a@x', 'b@y'], ['a@x', 'b@y'], 'a=b', 'b=a')).toEqual(['a>b map', 'b>a map']);
  expect(mapped(['a@x', 'b@x'], ['p@x', 'q@x'], 'a=q')).toEqual(['a>q map', 'b>p az']);
  expect(mapped(['a', 'b'], ['b', 'c'], 'a=c')).toEqual(['a>c map', 'b>b id']);
  expect(() => mapped(['a', 'b'], ['a', 'b'], 'a=b')).toThrow(/can take the files of b, by id/);
});

test('a pair that cannot be is refused, naming both sides', () => {
  expect(() => mapped(['a'], ['p', 'q'], 'a=p', 'a=q')).toThrow(
    'map: a=q: node a of the backup is given to one node only',
  );
  expect(() => mapped(['a', 'b'], ['p'], 'a=p', 'b=p')).toThrow('map: b=p: node p takes the files of a already');
  expect(() => mapped(['a'], ['p'], 'z=p')).toThrow('map: z=p: the backup has no node z; it has a');
  expect(() => mapped(['a'], ['p'], 'a=z')).toThrow('map: a=z: the cluster has no node z; it has p');
});
