/** Bytes. */
export interface Cuts {
  size: number;
  minimum: number;
}

/**
 * The lengths of a file's chunks: whole pieces of `size`, then powers of two, each the largest that fits, down to
 * `minimum`, then what is left (docs/format.md, section 2). A grown file shares all but the last few.
 */
export function* cutLengths(bytes: number, { size, minimum }: Cuts): Generator<number> {
  let left = bytes;
  for (; left >= size; left -= size) yield size;
  while (left >= minimum && left > 0) {
    const piece = 2 ** (31 - Math.clz32(left));
    yield piece;
    left -= piece;
  }
  if (left > 0) yield left;
}
