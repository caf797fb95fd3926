import type { OperationStatus } from '../client/progress.ts';
import { frameOf, headingOf, plainLine } from './progressLines.ts';
import type { Terminal } from './terminal.ts';
import { canRedraw, hasColour } from './terminal.ts';

/** Where the progress of an operation is shown, each time that somebody looked. */
export interface ProgressView {
  show(status: OperationStatus): void;
  /** Takes down what would be drawn again, before anything else is printed. */
  end(): void;
}

/** Between two lines of one phase, ms. */
const QUIET = 10_000;

/** Bars on a terminal, lines elsewhere, lines of JSON with `--json`; always on stderr. `now`: ms since the epoch. */
export function progressView(terminal: Terminal, json: boolean, now: () => number = Date.now): ProgressView {
  if (!json && canRedraw(terminal)) return new Bars(terminal, now);
  const line = json ? (status: OperationStatus) => JSON.stringify({ progress: status }) : timed(plainLine, now);
  return new Lines(terminal, line, now);
}

const timed = (line: (status: OperationStatus) => string, now: () => number) => (status: OperationStatus) =>
  `${new Date(now()).toISOString().replace(/\.\d+/, '')} ${line(status)}`;

/** One line for each phase, and one every 10 s. */
class Lines implements ProgressView {
  readonly #terminal: Terminal;
  readonly #line: (status: OperationStatus) => string;
  readonly #now: () => number;
  #heading = '';
  #last = 0;

  constructor(terminal: Terminal, line: (status: OperationStatus) => string, now: () => number) {
    this.#terminal = terminal;
    this.#line = line;
    this.#now = now;
  }

  show(status: OperationStatus): void {
    const heading = headingOf(status);
    if (heading === this.#heading && this.#now() - this.#last < QUIET) return;
    this.#heading = heading;
    this.#last = this.#now();
    this.#terminal.stderr.write(`${this.#line(status)}\n`);
  }

  end(): void {}
}

const UP = (lines: number): string => (lines > 0 ? `\x1b[${lines}A` : '');
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';
const NO_WRAP = '\x1b[?7l';
const WRAP = '\x1b[?7h';

/** A frame drawn over the former one in a single write, each line cleared only behind its new end: so it never flickers. */
class Bars implements ProgressView {
  readonly #terminal: Terminal;
  readonly #now: () => number;
  #drawn = 0;

  constructor(terminal: Terminal, now: () => number) {
    this.#terminal = terminal;
    this.#now = now;
  }

  show(status: OperationStatus): void {
    // A terminal that nobody told its size, such as a serial line, says 0.
    const { columns, rows } = this.#terminal.stderr;
    const elapsed = Math.max(0, this.#now() - Date.parse(status.started));
    const lines = frameOf(status, {
      width: columns || 80,
      rows: rows || 24,
      colour: hasColour(this.#terminal),
      elapsed,
    });
    const drawn = lines.map((line) => `${line}${CLEAR_LINE}\n`).join('');
    this.#terminal.stderr.write(`${UP(this.#drawn)}\r${NO_WRAP}${drawn}${WRAP}${CLEAR_BELOW}`);
    this.#drawn = lines.length;
  }

  end(): void {
    if (this.#drawn > 0) this.#terminal.stderr.write(`${UP(this.#drawn)}\r${CLEAR_BELOW}`);
    this.#drawn = 0;
  }
}
