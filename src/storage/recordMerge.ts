/** Records of one width, in batches: a Buffer holds whole records, one after another. Sorted means by their key's bytes. */
export type Batches = AsyncIterable<Buffer> | Iterable<Buffer>;

/** Of a batch, about. */
export const BATCH_BYTES = 1024 * 1024;
const FIRST_BYTES = 64 * 1024;

export interface RecordShape {
  recordBytes: number;
  /** The first bytes of a record, by which it is sorted. */
  keyBytes: number;
  /** Of records with equal keys only the first is kept. */
  unique?: boolean;
}

/**
 * Merges sorted sources into batches; of equal keys the one of the earlier source comes first. A batch handed out is
 * nobody else's.
 */
export async function* mergeRecords(
  sources: readonly Batches[],
  recordBytes: number,
  keyBytes: number,
  options: { unique?: boolean } = {},
): AsyncGenerator<Buffer> {
  const iterators = sources.map(iteratorOf);
  const merge = new Merge({ recordBytes, keyBytes, ...options });
  try {
    const fill = async (source: number): Promise<void> => {
      while (!merge.give(source, await (iterators[source] as AsyncIterator<Buffer>).next()));
    };
    await Promise.all(iterators.map((_, source) => fill(source)));
    for (let step = merge.step(); step !== undefined; step = merge.step()) {
      if (typeof step === 'number') await fill(step);
      else yield step;
    }
  } finally {
    for (const source of iterators) await source.return?.();
  }
}

/** The same for synchronous sources. */
export function* mergeSync(sources: readonly Iterable<Buffer>[], shape: RecordShape): Generator<Buffer> {
  const iterators = sources.map((source) => source[Symbol.iterator]());
  const merge = new Merge(shape);
  try {
    const fill = (source: number): void => {
      while (!merge.give(source, (iterators[source] as Iterator<Buffer>).next()));
    };
    for (let source = 0; source < iterators.length; source++) fill(source);
    for (let step = merge.step(); step !== undefined; step = merge.step()) {
      if (typeof step === 'number') fill(step);
      else yield step;
    }
  } finally {
    for (const source of iterators) source.return?.();
  }
}

export function iteratorOf(source: Batches): Iterator<Buffer> | AsyncIterator<Buffer> {
  return Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
}

/** Where one source stands. */
interface Head {
  readonly source: number;
  batch: Buffer;
  at: number;
  /** The first bytes of the record's key as a number: most comparisons need no more. */
  prefix: number;
}

/** A heap of heads. It asks for batches by the number of the source, so it serves both kinds of sources. */
class Merge {
  readonly #recordBytes: number;
  readonly #keyBytes: number;
  readonly #prefixBytes: number;
  readonly #unique: boolean;
  readonly #heap: Head[] = [];
  #output: Buffer | undefined;
  /** Of the next one: most lists are short. */
  #outputBytes = FIRST_BYTES;
  #length = 0;
  readonly #last: Buffer;
  #any = false;

  constructor({ recordBytes, keyBytes, unique = false }: RecordShape) {
    this.#recordBytes = recordBytes;
    this.#keyBytes = keyBytes;
    this.#prefixBytes = Math.min(6, keyBytes);
    this.#unique = unique;
    this.#last = Buffer.alloc(keyBytes);
  }

  /** A source's next batch; false when it is empty and another one is needed. */
  give(source: number, next: IteratorResult<Buffer>): boolean {
    if (next.done) return true;
    checkWhole(next.value, this.#recordBytes);
    const head: Head = { source, batch: next.value, at: -this.#recordBytes, prefix: 0 };
    if (!this.#advance(head)) return false;
    this.#rise(head);
    return true;
  }

  /** A batch that is ready, the number of a source whose next batch is needed, or undefined at the end. */
  step(): Buffer | number | undefined {
    const heap = this.#heap;
    for (let head = heap[0]; head !== undefined; head = heap[0]) {
      if (this.#length === this.#output?.length) return this.#take();
      this.#put(head);
      if (this.#advance(head)) {
        this.#sink(head);
        continue;
      }
      const last = heap.pop() as Head;
      if (last !== head) this.#sink(last);
      return head.source;
    }
    return this.#length > 0 ? this.#take() : undefined;
  }

  #put({ batch, at }: Head): void {
    if (this.#unique) {
      if (this.#any && batch.compare(this.#last, 0, this.#keyBytes, at, at + this.#keyBytes) === 0) return;
      batch.copy(this.#last, 0, at, at + this.#keyBytes);
      this.#any = true;
    }
    this.#output ??= this.#newOutput();
    batch.copy(this.#output, this.#length, at, at + this.#recordBytes);
    this.#length += this.#recordBytes;
  }

  #take(): Buffer {
    const full = (this.#output as Buffer).subarray(0, this.#length);
    this.#output = undefined;
    this.#length = 0;
    return full;
  }

  #newOutput(): Buffer {
    const records = Math.max(1, Math.floor(this.#outputBytes / this.#recordBytes));
    this.#outputBytes = Math.min(2 * this.#outputBytes, BATCH_BYTES);
    return Buffer.allocUnsafeSlow(records * this.#recordBytes);
  }

  /** To the next record of the batch; false when there is none. */
  #advance(head: Head): boolean {
    head.at += this.#recordBytes;
    if (head.at >= head.batch.length) return false;
    head.prefix = head.batch.readUIntBE(head.at, this.#prefixBytes);
    return true;
  }

  #before(a: Head, b: Head): boolean {
    if (a.prefix !== b.prefix) return a.prefix < b.prefix;
    const order = a.batch.compare(b.batch, b.at, b.at + this.#keyBytes, a.at, a.at + this.#keyBytes);
    return order < 0 || (order === 0 && a.source < b.source);
  }

  #rise(head: Head): void {
    const heap = this.#heap;
    let place = heap.length;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!this.#before(head, heap[parent] as Head)) break;
      heap[place] = heap[parent] as Head;
      place = parent;
    }
    heap[place] = head;
  }

  /** Puts a head where the first one was. */
  #sink(head: Head): void {
    const heap = this.#heap;
    let place = 0;
    for (;;) {
      let child = place * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#before(heap[child + 1] as Head, heap[child] as Head)) child++;
      if (!this.#before(heap[child] as Head, head)) break;
      heap[place] = heap[child] as Head;
      place = child;
    }
    heap[place] = head;
  }
}

/** What ends inside of a record is a defect of who wrote it. */
export function checkWhole(batch: Buffer, recordBytes: number): void {
  if (batch.length % recordBytes !== 0) {
    throw new Error(`a batch of ${batch.length} bytes holds no whole records of ${recordBytes}`);
  }
}
