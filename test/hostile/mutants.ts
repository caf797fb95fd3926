import fc from 'fast-check';

/** Tries for each door: all of them with HOMARUS_LONG=1, a share that takes a second otherwise. */
export const TRIES = process.env.HOMARUS_LONG ? 10_000 : 1_000;
/** The same for a door behind which files are written and looked at. */
export const RESTORES = process.env.HOMARUS_LONG ? 10_000 : 25;

const hostile: unknown[] = [
  ...[null, true, 0, -1, 1.5, 1e15, 1e300, 2 ** 53, '', 'x', '..', '../../etc/passwd', '/etc/passwd', 'a/../../b'],
  ...['\0', '\u001b[2J', '__proto__', '9'.repeat(400), [], [null], [[]], {}, { length: -1 }, { pages: [] }],
];

/** One place of a JSON document, deep or at its top, becomes something that nobody wrote there. */
export const mutantsOf = (document: unknown): fc.Arbitrary<unknown> => {
  const places = placesOf(document).length;
  const change = fc.record({
    place: fc.nat(places - 1),
    how: fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(...hostile).map((value) => ({ value })) },
      { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }).map((value) => ({ value })) },
      { weight: 1, arbitrary: fc.constant(undefined) },
    ),
  });
  return fc.array(change, { minLength: 1, maxLength: 3 }).map((changes) => {
    let mutant = structuredClone(document);
    for (const { place, how } of changes) {
      const all = placesOf(mutant);
      const [holder, name] = all[place % all.length] ?? [];
      if (holder === undefined) mutant = how?.value ?? null;
      else if (how === undefined) delete holder[name as string];
      else holder[name as string] = structuredClone(how.value);
    }
    return mutant;
  });
};

type Place = [holder: Record<string, unknown>, name: string] | [];

/** Every value in a document by who holds it, the document itself first. */
function placesOf(value: unknown): Place[] {
  const places: Place[] = [[]];
  const open: unknown[] = [value];
  for (let holder = open.pop(); holder !== undefined; holder = open.pop()) {
    if (typeof holder !== 'object' || holder === null) continue;
    for (const [name, inner] of Object.entries(holder)) {
      places.push([holder as Record<string, unknown>, name]);
      open.push(inner);
    }
  }
  return places;
}
