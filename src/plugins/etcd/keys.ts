/** Keys and ranges of etcd, as bytes. */

export interface KeyValue {
  key: Buffer;
  value: Buffer;
  /** Id of the lease that the key hangs on, 0 for none. */
  lease: bigint;
}

/** From `start`, up to `end` which is not in it; `end` of a single 0: to the end of all. */
export interface KeyRange {
  start: Buffer;
  end: Buffer;
}

const ZERO = Buffer.from([0]);

/** All keys that begin with `prefix`; all there are when it is empty. */
export function prefixRange(prefix: Buffer): KeyRange {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  const start = prefix.length === 0 ? ZERO : prefix;
  if (length === 0) return { start, end: ZERO };
  const end = Buffer.from(prefix.subarray(0, length));
  end[length - 1] = (end[length - 1] as number) + 1;
  return { start, end };
}

/** The ranges of prefixes, in order and without those that another one covers. */
export function prefixRanges(prefixes: readonly Buffer[]): KeyRange[] {
  const sorted = prefixes.toSorted(Buffer.compare);
  return sorted
    .filter(
      (prefix, place) => !sorted.some((other, at) => at < place && prefix.subarray(0, other.length).equals(other)),
    )
    .map(prefixRange);
}

/** The first key after `key`. */
export const after = (key: Buffer): Buffer => Buffer.concat([key, ZERO]);

/** How a key is written for people: as text where it is some, in hex otherwise. */
export function shownKey(key: Buffer): string {
  const text = key.toString('utf8');
  const isText = Buffer.from(text).equals(key) && !/[\p{Cc}\p{Cf}]/u.test(text);
  const shown = isText ? text : `0x${key.toString('hex')}`;
  return shown.length > 200 ? `${shown.slice(0, 200)}…` : shown;
}
