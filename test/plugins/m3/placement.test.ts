import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { type Instance, instancesOf, rewritePlacement } from '../../../src/plugins/m3/placement.ts';
import { decodePlacement, encodePlacement, type PlacementDocument } from '../../support/m3Proto.ts';

const long = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }).map(String);
const word = fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme' });
const uint = fc.nat({ max: 2 ** 31 });
const opaque = fc.uint8Array({ minLength: 1, maxLength: 9 }).map((bytes) => Buffer.from(bytes).toString('base64'));
const ID = fc.stringMatching(/^[a-d]-\p{L}{0,3}$/u);
/** A field that may be missing. */
const maybe = { requiredKeys: [] as [] };

const shard = (ids: readonly string[]) =>
  fc.record(
    {
      ...{ id: uint, state: fc.constantFrom(0, 1, 2), sourceId: fc.constantFrom(...ids) },
      ...{ cutoverNanos: long, cutoffNanos: long, redirectToShardId: fc.record({ value: uint }), newer: opaque },
    },
    maybe,
  );

const instance = (id: string, ids: readonly string[]) =>
  fc
    .record(
      {
        ...{
          isolationGroup: word,
          zone: word,
          weight: uint,
          endpoint: word,
          hostname: word,
          port: uint,
          newer: opaque,
        },
        ...{ shards: fc.array(shard(ids), { minLength: 1, maxLength: 4 }), shardSetId: uint },
        metadata: fc.record({ debugPort: uint }),
      },
      maybe,
    )
    .map((fields) => ({ id, ...fields }));

const placements: fc.Arbitrary<PlacementDocument> = fc.uniqueArray(ID, { minLength: 1, maxLength: 6 }).chain((ids) =>
  fc.record({
    instances: fc
      .tuple(...ids.map((id) => instance(id, ids)))
      .map((all) => Object.fromEntries(all.map((one) => [one.id, one]))),
    ...{ replicaFactor: uint, numShards: uint, isSharded: fc.boolean(), cutoverTime: long, newer: opaque },
  }),
);

const taker = (id: string): fc.Arbitrary<Instance> =>
  fc.record({
    ...{ id: fc.constant(id), endpoint: word, hostname: word },
    isolationGroup: fc.option(word, { nil: undefined }),
    port: fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }),
  });

/** A placement, and who takes the place of each: ids that are permuted, new, or both. */
const rewritings = placements.chain((placement) => {
  const ids = Object.keys(placement.instances);
  return fc
    .uniqueArray(fc.oneof(fc.constantFrom(...ids), ID), { minLength: ids.length, maxLength: ids.length })
    .chain((others) => fc.tuple(...others.map(taker)))
    .map((takers) => ({ placement, takers: new Map(ids.map((id, place) => [id, takers[place] as Instance])) }));
});

test('any permutation and renaming keeps instances, owners of shards, and every field that it does not name', () => {
  void fc.assert(
    fc.property(rewritings, ({ placement, takers }) => {
      const before = decodePlacement(encodePlacement(placement));
      const expected = Object.values(before.instances).map((one) => {
        const { id, endpoint, hostname, isolationGroup, port } = takers.get(one.id) as Instance;
        const shards = one.shards?.map(({ sourceId, ...rest }) =>
          sourceId === undefined ? rest : { ...rest, sourceId: takers.get(sourceId)?.id },
        );
        return {
          ...{ ...one, id, endpoint, hostname },
          ...(isolationGroup === undefined ? {} : { isolationGroup }),
          ...(port === undefined ? {} : { port }),
          ...(shards === undefined ? {} : { shards }),
        };
      });
      const after = decodePlacement(rewritePlacement(encodePlacement(placement), takers));
      expect(after).toEqual({ ...before, instances: Object.fromEntries(expected.map((one) => [one.id, one])) });
      expect(Object.keys(after.instances)).toHaveLength(takers.size);
    }),
  );
});

describe('refused before anything is written', () => {
  const placement = encodePlacement({
    instances: {
      d1: { id: 'd1', shards: [{ id: 3, sourceId: 'd2' }] },
      d2: { id: 'd2' },
    },
  });
  const to = (id: string): Instance => ({ id, endpoint: `${id}:9000`, hostname: id });
  const rewrite = (takers: Record<string, string>, bytes = placement) =>
    rewritePlacement(bytes, new Map(Object.entries(takers).map(([from, id]) => [from, to(id)])));

  test('an instance that the placement does not have, or that no node takes', () => {
    expect(() => rewrite({ d1: 'e1', d2: 'e2', d3: 'e3' })).toThrow('no instance d3; it has d1, d2');
    expect(() => rewrite({ d1: 'e1' })).toThrow('has instance d2, which is of no node');
    expect(() => rewrite({})).toThrow(expect.objectContaining({ code: 'M3PlacementUnfit' }));
  });

  test('two instances that would become one, and one that is there twice', () => {
    expect(() => rewrite({ d1: 'e1', d2: 'e1' })).toThrow('"e1" would take the places of two');
    const twice = encodePlacement({ instances: { d1: { id: 'd1' }, other: { id: 'd1' } } });
    expect(() => instancesOf(twice)).toThrow('has instance "d1" twice');
  });

  test('a shard that comes from an instance that is not there', () => {
    const lost = encodePlacement({ instances: { d1: { id: 'd1', shards: [{ id: 3, sourceId: 'gone' }] } } });
    expect(() => rewrite({ d1: 'e1' }, lost)).toThrow('shard 3 of instance "d1" comes from "gone"');
  });

  test('what is no placement', () => {
    expect(() => rewrite({ d1: 'e1' }, Buffer.from([0x0a, 0x50, 1]))).toThrow('is no placement');
    expect(() => rewrite({ d1: 'e1' }, Buffer.alloc(0))).toThrow('no instance d1');
  });
});

test('an instance is known by its id, whatever the key of the map says, and gets its new id as key', () => {
  const bytes = encodePlacement({ instances: { stale: { id: 'd1', weight: 7 } } });
  const after = rewritePlacement(bytes, new Map([['d1', { id: 'e1', endpoint: 'e1:9000', hostname: 'e1' }]]));
  expect(decodePlacement(after).instances).toEqual({
    e1: { id: 'e1', weight: 7, endpoint: 'e1:9000', hostname: 'e1' },
  });
});
