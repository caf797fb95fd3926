import { once } from 'node:events';
import { errorTable, HomarusError } from '../domain/errors.ts';
import type { Terminal } from './terminal.ts';

/** What a command answers: `result` for `--json`, `text` for people, another exit code than 0 where it has one. */
export interface Answer {
  result?: object;
  text?: string;
  listing?: Listing;
  exit?: number;
}

/** A part of the result that may be too long for memory: it is printed while it is read. */
export interface Listing {
  /** Its field in the result. */
  field: string;
  write(emit: (item: object, text: string) => Promise<void>): Promise<void>;
}

/** A failure, with what is known all the same (`result` beside `error`), e.g. the id of the operation that failed. */
export class Failure extends Error {
  readonly error: unknown;
  readonly answer: Answer;

  constructor(error: unknown, answer: Answer) {
    super((error as Error).message);
    this.error = error;
    this.answer = answer;
  }
}

const BUFFER = 64 * 1024;

/** Prints what commands answer: results on stdout, everything else on stderr. docs/cli.md describes the JSON. */
export class Output {
  readonly json: boolean;
  readonly #terminal: Terminal;

  constructor(terminal: Terminal, json: boolean) {
    this.#terminal = terminal;
    this.json = json;
  }

  /** Prints an answer; answers the exit code. */
  async answer(answer: Answer): Promise<number> {
    const { result = null, text, listing, exit = 0 } = answer;
    if (listing) return this.json ? this.#jsonListing(result, listing) : this.#textListing(listing);
    if (this.json) this.#document({ ok: true, result });
    else this.#text(text);
    return exit;
  }

  /** Prints a failure; answers the exit code. */
  failure(thrown: unknown): number {
    const { error, answer } = thrown instanceof Failure ? thrown : { error: thrown, answer: {} };
    const known = asHomarusError(error);
    if (this.json) {
      this.#document({ ok: false, error: shapeOf(known), ...(answer.result ? { result: answer.result } : {}) });
    } else {
      this.#text(answer.text);
      this.#terminal.stderr.write(`error: ${known.message}\nhint: ${known.hint}\n`);
      if (known.code === 'Internal' && known.cause instanceof Error) {
        this.#terminal.stderr.write(`${known.cause.stack}\n`);
      }
    }
    return errorTable[known.code].exit;
  }

  /** A remark for people, on stderr. */
  note(text: string): void {
    if (!this.json) this.#terminal.stderr.write(`${text}\n`);
  }

  async #textListing(listing: Listing): Promise<number> {
    const buffer = new Buffered(this.#terminal);
    try {
      await listing.write((_, text) => buffer.write(`${text}\n`));
    } finally {
      await buffer.flush();
    }
    return 0;
  }

  /** Whether all went well is known at the end, so it comes last. */
  async #jsonListing(result: object | null, { field, write }: Listing): Promise<number> {
    const buffer = new Buffered(this.#terminal);
    const fixed = JSON.stringify(result ?? {}).slice(1, -1);
    await buffer.write(`{"result":{${fixed}${fixed ? ',' : ''}"${field}":[`);
    let comma = '';
    let failed: HomarusError | undefined;
    try {
      await write(async (item) => {
        await buffer.write(comma + JSON.stringify(item));
        comma = ',\n';
      });
    } catch (error) {
      failed = asHomarusError(error);
    }
    await buffer.write(`]},"ok":${!failed}${failed ? `,"error":${JSON.stringify(shapeOf(failed))}` : ''}}\n`);
    await buffer.flush();
    return failed ? errorTable[failed.code].exit : 0;
  }

  #document(document: object): void {
    this.#terminal.stdout.write(`${JSON.stringify(document)}\n`);
  }

  #text(text: string | undefined): void {
    if (text) this.#terminal.stdout.write(`${text}\n`);
  }
}

/** Few large writes instead of many small ones, and never ahead of who reads. */
class Buffered {
  readonly #terminal: Terminal;
  #text = '';

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  async write(text: string): Promise<void> {
    this.#text += text;
    if (this.#text.length > BUFFER) await this.flush();
  }

  async flush(): Promise<void> {
    const text = this.#text;
    this.#text = '';
    if (!this.#terminal.stdout.write(text)) await once(this.#terminal.stdout, 'drain');
  }
}

const shapeOf = ({ code, message, hint }: HomarusError) => ({ code, message, hint });

function asHomarusError(error: unknown): HomarusError {
  if (error instanceof HomarusError) return error;
  return new HomarusError('Internal', error instanceof Error ? error.message : String(error), { cause: error });
}
