/** Entries in one bucket, about: so many neighbours are looked through for a hash. */
const BUCKET_ENTRIES = 4;
const MOST_BUCKET_BITS = 28;

/** Memory of a set; it is shared, so that threads may mark at once. */
export interface ChunkSetMemory {
  /** Number of its first chunk. */
  first: number;
  count: number;
  /** The first 8 bytes of each hash, as two numbers. */
  prefixes: SharedArrayBuffer;
  /** For all values of a hash's first bits where its hashes begin; one more at the end. */
  buckets: SharedArrayBuffer;
  /** A bit for each chunk, set when it is used. */
  used: SharedArrayBuffer;
}

/**
 * Which chunks are used, of a sorted list of them: 9 bytes of memory for each. A chunk is known by the first 8 bytes of its
 * hash; of two that share them both count as used, which costs a little space (one pair in 10^19).
 */
export class ChunkSet {
  readonly memory: ChunkSetMemory;
  readonly #prefixes: Uint32Array;
  readonly #buckets: Uint32Array;
  readonly #used: Uint32Array;
  readonly #shift: number;

  constructor(memory: ChunkSetMemory) {
    this.memory = memory;
    this.#prefixes = new Uint32Array(memory.prefixes);
    this.#buckets = new Uint32Array(memory.buckets);
    this.#used = new Uint32Array(memory.used);
    this.#shift = 32 - Math.log2(this.#buckets.length - 1);
  }

  /** Marks a chunk as used; false when there is none with this hash. */
  mark(hashes: Buffer, at = 0): boolean {
    const high = hashes.readUInt32BE(at);
    const low = hashes.readUInt32BE(at + 4);
    const prefixes = this.#prefixes;
    // A shift by 32 is one by 0.
    const bucket = this.#shift === 32 ? 0 : high >>> this.#shift;
    const end = this.#buckets[bucket + 1] as number;
    let known = false;
    for (let place = this.#buckets[bucket] as number; place < end; place++) {
      if (prefixes[2 * place] !== high || prefixes[2 * place + 1] !== low) continue;
      known = true;
      const bit = 1 << (place & 31);
      // Most are marked already, and reading costs less.
      if (((this.#used[place >>> 5] as number) & bit) === 0) Atomics.or(this.#used, place >>> 5, bit);
    }
    return known;
  }

  get usedCount(): number {
    let count = 0;
    for (let bits of this.#used) for (; bits !== 0; bits &= bits - 1) count++;
    return count;
  }

  /** Knows what is used, and finds nothing any more: an eighth of a byte for each chunk. */
  withoutPrefixes(): ChunkSet {
    return new ChunkSet({ ...this.memory, prefixes: new SharedArrayBuffer(0), buckets: new SharedArrayBuffer(8) });
  }

  /** Whether the chunk with this number is used. */
  has(number: number): boolean {
    const place = number - this.memory.first;
    return ((this.#used[place >>> 5] as number) & (1 << (place & 31))) !== 0;
  }
}

/** Makes a set from hashes that are added in their order. */
export class ChunkSetBuilder {
  readonly #memory: ChunkSetMemory;
  readonly #prefixes: Uint32Array;
  readonly #buckets: Uint32Array;
  readonly #shift: number;

  /** `most`: it is never more than so many. */
  constructor(most: number, first = 0) {
    const bits = Math.min(MOST_BUCKET_BITS, Math.max(0, Math.ceil(Math.log2(most / BUCKET_ENTRIES))));
    this.#shift = 32 - bits;
    const words = (count: number): SharedArrayBuffer => new SharedArrayBuffer(4 * count);
    const used = words(Math.ceil(most / 32));
    this.#memory = { first, count: 0, prefixes: words(2 * most), buckets: words(2 ** bits + 1), used };
    this.#prefixes = new Uint32Array(this.#memory.prefixes);
    this.#buckets = new Uint32Array(this.#memory.buckets);
  }

  add(hashes: Buffer, at: number): void {
    const high = hashes.readUInt32BE(at);
    const place = this.#memory.count++;
    this.#prefixes[2 * place] = high;
    this.#prefixes[2 * place + 1] = hashes.readUInt32BE(at + 4);
    const bucket = this.#shift === 32 ? 0 : high >>> this.#shift;
    this.#buckets[bucket + 1]!++;
  }

  finish(): ChunkSet {
    for (let bucket = 1; bucket < this.#buckets.length; bucket++) {
      this.#buckets[bucket]! += this.#buckets[bucket - 1] as number;
    }
    return new ChunkSet(this.#memory);
  }
}
