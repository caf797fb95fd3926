import type { Readable, Writable } from 'node:stream';

/** The streams of a command; `process` is one. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Screen;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Where people read; a stream that knows its size when it is a terminal. */
export type Screen = Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number };

/** A terminal whose cursor can be moved. */
export const canRedraw = ({ stderr, env }: Terminal): boolean => stderr.isTTY === true && env.TERM !== 'dumb';

/** See no-color.org. */
export const hasColour = (terminal: Terminal): boolean => canRedraw(terminal) && !terminal.env.NO_COLOR;

/** Rows of words in columns, under their titles; columns of numbers go to the right. */
export function table(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string {
  const widths = titles.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (row: readonly string[]): string =>
    widths
      .map(
        (width, column) => (right.includes(column) ? row[column]?.padStart(width) : row[column]?.padEnd(width)) ?? '',
      )
      .join('  ')
      .trimEnd();
  return [titles.map((title) => title.toUpperCase()), ...rows].map(line).join('\n');
}

/** The plural of a counted thing: `1 file`, `12,345 files`. */
export const counted = (count: number, thing: string): string =>
  `${count.toLocaleString('en-US')} ${thing}${count === 1 ? '' : 's'}`;
