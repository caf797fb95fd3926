import { HomarusError, isLoss } from '../domain/errors.ts';
import { readRange } from '../storage/footer.ts';
import { packPlace } from '../storage/pack.ts';
import type { PackRange } from '../storage/packRanges.ts';
import type { Repository } from '../storage/repository.ts';
import { shown } from './bytePath.ts';
import type { RestoreRoot } from './compareTarget.ts';
import type { FetchPlan } from './fetchPlan.ts';
import { halvesOf, RESTORE_OTHERS } from './fetchPlan.ts';
import { inFlight } from './inFlight.ts';
import type { JobContext } from './job.ts';
import { decodePiece, PIECE_BYTES } from './piece.ts';
import { finishFile, openTemporary, Parents, writeFailure } from './place.ts';
import type { RestorePlan } from './restorePlan.ts';
import { decodePlanned } from './restorePlan.ts';
import type { FileToWrite, WriteArgs } from './writeTask.ts';

/** Requests under way, or read and being written. */
const REQUESTS = 4;
const SMALL_FILES = 256;
/** So many lost files are named; beyond so many it is not tried to bring the others. */
const NAMED = 3;
const MOST_LOST = 100_000;

interface Wanted {
  file: FileToWrite;
  chunks: number;
  root: number;
}

/** Writes the files of a plan: what stands in the tree at once, the rest from packs, each range of a pack read once. */
export class FileWriter {
  readonly #repository: Repository;
  readonly #plan: RestorePlan;
  readonly #roots: readonly RestoreRoot[];
  readonly #parents: readonly Parents[];
  readonly #context: JobContext;
  readonly #requests: number;
  /** Of files of several chunks that have some: how many are still to come. */
  readonly #missing = new Map<number, number>();
  /** Files whose content the storage has lost, by their numbers, and why the first could not be read. */
  readonly #lost = new Set<number>();
  #loss: HomarusError | undefined;
  /** Bytes that were read from the storage. */
  fetched = 0;

  /** `requests`: to the storage at once. */
  constructor(
    repository: Repository,
    plan: RestorePlan,
    roots: readonly RestoreRoot[],
    context: JobContext,
    requests = REQUESTS,
  ) {
    this.#requests = Math.min(REQUESTS, requests);
    this.#repository = repository;
    this.#plan = plan;
    this.#roots = roots;
    this.#parents = roots.map(({ target }) => new Parents(target.root));
    this.#context = context;
  }

  /** Files whose content stands in the tree. */
  async writeSmall(): Promise<void> {
    await inFlight(this.#context.pool.threads + 1, this.#smallFiles(), async (files) => {
      this.#context.throwIfStopped();
      await this.#context.pool.run('writeSmall', { files });
      this.#done(
        files.length,
        files.reduce((sum, { file }) => sum + file.size, 0),
      );
    });
  }

  /**
   * Fetches all that can be had, and then fails (`ObjectMissing`, `ObjectDamaged`) if that was not all: what stood in the
   * place of a file that is lost is still there.
   */
  async fetch(plan: FetchPlan): Promise<void> {
    await inFlight(this.#requests, plan.ranges(), (range) => this.#range(range));
    if (this.#loss) throw this.#lostFiles(this.#loss);
  }

  *#smallFiles(): Generator<{ file: FileToWrite; content: Buffer }[]> {
    let files: { file: FileToWrite; content: Buffer }[] = [];
    for (const [place, frame] of this.#plan.files.places()) {
      const { root, row, chunks } = decodePlanned(frame);
      if (chunks > 0) continue;
      files.push({ file: this.#toWrite(place, root, row), content: row.content ?? Buffer.alloc(0) });
      if (files.length < SMALL_FILES) continue;
      yield files;
      files = [];
    }
    if (files.length > 0) yield files;
  }

  async #range(range: PackRange): Promise<void> {
    try {
      await this.#whole(range);
    } catch (error) {
      if (!isLoss(error)) throw error;
      const halves = error.code === 'ObjectMissing' ? undefined : halvesOf(range);
      if (halves) for (const half of halves) await this.#range(half);
      else this.#isLost(range, error);
    }
  }

  #isLost({ records: pieces }: PackRange, error: HomarusError): void {
    this.#loss ??= error;
    for (let at = 0; at < pieces.length; at += PIECE_BYTES) this.#lost.add(decodePiece(pieces, at).file);
    if (this.#lost.size > MOST_LOST) throw this.#lostFiles(this.#loss);
  }

  #lostFiles({ code, message }: HomarusError): HomarusError {
    const paths = [...this.#lost].slice(0, NAMED).map((file) => {
      const { root, row } = decodePlanned(this.#plan.files.at(file));
      return `"${shown(`${this.#roots[root]?.target.root}/${row.path}`)}"`;
    });
    const others = this.#lost.size > NAMED ? ` and ${this.#lost.size - NAMED} other files` : '';
    return new HomarusError(
      code,
      `${message}; it holds content of ${paths.join(', ')}${others}, which were left as they were`,
      { hint: RESTORE_OTHERS },
    );
  }

  async #whole(range: PackRange): Promise<void> {
    const { signal, pool } = this.#context;
    this.#context.throwIfStopped();
    const wanted = this.#wantedBy(range);
    const place = packPlace(range.pack.id);
    const stored = await readRange(this.#repository, place, range.start, range.length, { signal });
    this.fetched += stored.length;
    const files: WriteArgs['files'] = new Map();
    for (const [number, { file, chunks }] of wanted) files.set(number, { file, whole: chunks === 1 });
    const args: WriteArgs = {
      sealing: this.#repository.sealing,
      pack: range.pack,
      stored,
      start: range.start,
      pieces: range.records,
      files,
    };
    // Moved to the thread unless it is part of something larger.
    const whole = stored.buffer.byteLength === stored.length;
    await pool.run('writeChunks', args, whole ? { transfer: [stored.buffer as ArrayBuffer] } : {});
    for (let at = 0; at < range.records.length; at += PIECE_BYTES) {
      const piece = decodePiece(range.records, at);
      this.#written(piece.file, wanted.get(piece.file) as Wanted, piece.length);
    }
  }

  #wantedBy({ records: pieces }: PackRange): Map<number, Wanted> {
    const wanted = new Map<number, Wanted>();
    for (let at = 0; at < pieces.length; at += PIECE_BYTES) {
      const number = decodePiece(pieces, at).file;
      if (wanted.has(number)) continue;
      const { root, row, chunks } = decodePlanned(this.#plan.files.at(number));
      wanted.set(number, { file: this.#toWrite(number, root, row), chunks, root });
    }
    const first = wanted.values().next().value;
    if (first) this.#context.at(first.file.path);
    return wanted;
  }

  #toWrite(number: number, root: number, row: Omit<FileToWrite, 'target' | 'name'>): FileToWrite {
    const { path, size, mode, uid, gid, mtime, sparse } = row;
    const { target } = this.#roots[root] as RestoreRoot;
    return { target, name: number.toString(36), path, size, mode, uid, gid, mtime, sparse: sparse === true };
  }

  #written(number: number, { file, chunks, root }: Wanted, bytes: number): void {
    const missing = (this.#missing.get(number) ?? chunks) - 1;
    this.#done(missing === 0 ? 1 : 0, bytes);
    if (chunks === 1) return;
    if (missing > 0) {
      this.#missing.set(number, missing);
      return;
    }
    this.#missing.delete(number);
    try {
      const open = openTemporary(file.target, file.name);
      finishFile(file.target, this.#parents[root] as Parents, open, file.name, file);
    } catch (error) {
      throw writeFailure(error, file.target.root, file.path);
    }
  }

  #done(files: number, bytes: number): void {
    this.#context.progress.filesDone += files;
    this.#context.progress.bytesDone += bytes;
  }
}
