const DIGIT_BITS = 8;
const DIGITS = 1 << DIGIT_BITS;
/** Of a key, bytes: what the radix sort sees. */
const PREFIX_BYTES = 8;

/**
 * The places of the records in the order of their keys' bytes; of equal keys the earlier comes first. A radix sort of the
 * first 8 bytes, then comparisons where they are equal: no object and hardly a comparison per record.
 */
export function placesInOrder(records: Buffer, recordBytes: number, keyBytes: number): Uint32Array {
  const count = Math.floor(records.length / recordBytes);
  const high = new Uint32Array(count);
  const low = new Uint32Array(count);
  let places: Uint32Array = new Uint32Array(count);
  for (let place = 0, at = 0; place < count; place++, at += recordBytes) {
    places[place] = place;
    high[place] = word(records, at, keyBytes);
    if (keyBytes > 4) low[place] = word(records, at + 4, keyBytes - 4);
  }
  let spare: Uint32Array = new Uint32Array(count);
  for (const words of [low, high]) {
    for (let shift = 0; shift < 32; shift += DIGIT_BITS) {
      if (scatter(words, shift, places, spare)) [places, spare] = [spare, places];
    }
  }
  if (keyBytes <= PREFIX_BYTES) return places;
  for (let from = 0; from < count; ) {
    const first = places[from] as number;
    let until = from + 1;
    for (; until < count; until++) {
      const other = places[until] as number;
      if (low[other] !== low[first] || high[other] !== high[first]) break;
    }
    if (until - from > 1) {
      places
        .subarray(from, until)
        .sort((a, b) => compareKeys(records, a * recordBytes, b * recordBytes, keyBytes) || a - b);
    }
    from = until;
  }
  return places;
}

const compareKeys = (records: Buffer, a: number, b: number, keyBytes: number): number =>
  records.compare(records, b, b + keyBytes, a, a + keyBytes);

/** Up to four bytes, big-endian; what a shorter key lacks counts as zero. */
function word(records: Buffer, at: number, bytes: number): number {
  if (bytes >= 4) return records.readUInt32BE(at);
  return (records.readUIntBE(at, bytes) << (8 * (4 - bytes))) >>> 0;
}

/** One pass over one digit of the words; false when all have the same digit, and nothing was done. */
function scatter(words: Uint32Array, shift: number, from: Uint32Array, to: Uint32Array): boolean {
  const starts = new Uint32Array(DIGITS);
  const digitOf = (place: number): number => ((words[place] as number) >>> shift) & (DIGITS - 1);
  for (let place = 0; place < words.length; place++) (starts[digitOf(place)] as number)++;
  let start = 0;
  for (let digit = 0; digit < DIGITS; digit++) {
    const count = starts[digit] as number;
    if (count === words.length) return false;
    starts[digit] = start;
    start += count;
  }
  for (const place of from) {
    const digit = digitOf(place);
    to[starts[digit] as number] = place;
    (starts[digit] as number)++;
  }
  return true;
}
