/**
 * Checks of documents that strangers may have written: JSON of a storage, inputs of activities. A shape says what must be
 * true of a value, and the name of the first field of which it is not; fields that it does not know are kept.
 */

/** Answers undefined where the value is right, else what is wrong: the field's path and what it should be. */
export type Shape = (value: unknown, path: string) => string | undefined;

const wrong = (path: string, what: string): string => `${path === '' ? 'it' : path} is not ${what}`;

const when =
  (what: string, fits: (value: unknown) => boolean): Shape =>
  (value, path) =>
    fits(value) ? undefined : wrong(path, what);

export const text: Shape = when('a text', (value) => typeof value === 'string');
export const flag: Shape = when('true or false', (value) => typeof value === 'boolean');
export const anything: Shape = () => undefined;

export const number: Shape = when('a number', (value) => typeof value === 'number' && Number.isFinite(value));

/** Numbers, lengths, epochs: whole, not negative, and exact. */
export const count: Shape = when('a whole number', (value) => Number.isSafeInteger(value) && (value as number) >= 0);

export const matching = (pattern: RegExp, what: string): Shape =>
  when(what, (value) => typeof value === 'string' && pattern.test(value));

export const oneOf = (...values: readonly unknown[]): Shape =>
  when(`one of ${values.join(', ')}`, (value) => values.includes(value));

export const hash: Shape = matching(/^(?:[0-9a-f]{2}){1,64}$/, 'a hash');

export const optional =
  (shape: Shape): Shape =>
  (value, path) =>
    value === undefined ? undefined : shape(value, path);

export const orNull =
  (shape: Shape): Shape =>
  (value, path) =>
    value === null ? undefined : shape(value, path);

export const list =
  (shape: Shape): Shape =>
  (value, path) => {
    if (!Array.isArray(value)) return wrong(path, 'a list');
    for (const [place, item] of value.entries()) {
      const fault = shape(item, `${path}[${place}]`);
      if (fault !== undefined) return fault;
    }
    return undefined;
  };

export const record =
  (fields: Readonly<Record<string, Shape>>): Shape =>
  (value, path) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return wrong(path, 'an object');
    for (const [name, shape] of Object.entries(fields)) {
      const own = Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
      const fault = shape(own, path === '' ? name : `${path}.${name}`);
      if (fault !== undefined) return fault;
    }
    return undefined;
  };

/** The first shape that fits; the fault of the last when none does. */
export const either =
  (...shapes: readonly Shape[]): Shape =>
  (value, path) => {
    let fault: string | undefined;
    for (const shape of shapes) {
      fault = shape(value, path);
      if (fault === undefined) return undefined;
    }
    return fault;
  };

/** JSON of this shape; undefined where it is none, or of another. */
export function parsed<T>(json: string, shape: Shape): T | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return shape(value, '') === undefined ? (value as T) : undefined;
  } catch {
    return undefined;
  }
}
