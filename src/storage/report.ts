import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { keys } from '../domain/documents.ts';
import type { StagedList } from '../domain/operations.ts';
import type { Shape } from '../domain/shape.ts';
import type { BlockPlace } from './block.ts';
import type { CallOptions } from './objectStore.ts';
import type { Repository } from './repository.ts';
import { checkedJson, parseJson } from './repository.ts';
import type { Sealing } from './sealing.ts';
import { shownName } from './sealing.ts';
import { readStaged, stageRecords } from './staging.ts';

/** Lists of any length that outlive their operation: lines of JSON, in the storage below `reports/`. */

const BATCH_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

/** What the keys of an operation's reports begin with. */
export const reportOf = (sealing: Sealing, operation: string): string => keys.report(shownName(sealing, operation));

const lineOf = (item: object): string => `${JSON.stringify(item)}\n`;

/** Stores the lines, and those of `more` behind them. */
export function writeReport(
  repository: Repository,
  prefix: string,
  lines: Iterable<object>,
  options: CallOptions & { more?: LineFile } = {},
): Promise<StagedList> {
  function* batches(): Generator<Buffer> {
    let text = '';
    for (const line of lines) {
      text += lineOf(line);
      if (text.length < BATCH_BYTES) continue;
      yield Buffer.from(text);
      text = '';
    }
    if (text !== '') yield Buffer.from(text);
    if (options.more) yield* options.more.batches();
  }
  return stageRecords(repository, prefix, 1, batches(), options);
}

/** The lines of a report, each of this shape. `ObjectMissing`, `ObjectDamaged` unless it is whole. */
export async function* readReport<T>(
  repository: Repository,
  report: StagedList,
  shape: Shape,
  options: CallOptions = {},
): AsyncGenerator<T> {
  const place: BlockPlace = { kind: 'staged', key: report.key };
  let rest: Buffer = Buffer.alloc(0);
  for await (const batch of readStaged(repository, report, 1, options)) {
    const text = rest.length > 0 ? Buffer.concat([rest, batch]) : batch;
    let from = 0;
    for (let end = text.indexOf(NEWLINE); end >= 0; end = text.indexOf(NEWLINE, from)) {
      yield checkedJson<T>(place, parseJson(place, text.subarray(from, end)), shape);
      from = end + 1;
    }
    rest = text.subarray(from);
  }
}

/** Lines that are collected on disk, since there may be one for every file. */
export class LineFile {
  readonly #file: number;
  #text = '';
  #written = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'w+', 0o600);
  }

  add(item: object): void {
    this.#text += lineOf(item);
    if (this.#text.length > BATCH_BYTES) this.#flush();
  }

  *batches(): Generator<Buffer> {
    this.#flush();
    for (let at = 0; at < this.#written; ) {
      const batch = Buffer.allocUnsafe(Math.min(BATCH_BYTES, this.#written - at));
      const read = readSync(this.#file, batch, 0, batch.length, at);
      if (read === 0) throw new Error('a temporary file of a report was cut short');
      yield batch.subarray(0, read);
      at += read;
    }
  }

  clear(): void {
    this.#text = '';
    this.#written = 0;
  }

  close(): void {
    closeSync(this.#file);
  }

  #flush(): void {
    const bytes = Buffer.from(this.#text);
    this.#text = '';
    for (let done = 0; done < bytes.length; ) {
      const wrote = writeSync(this.#file, bytes, done, bytes.length - done, this.#written);
      done += wrote;
      this.#written += wrote;
    }
  }
}
