import type { OperationStatus } from '../client/progress.ts';
import type { NodeProgress } from '../domain/operations.ts';
import { formatBytes, formatDuration, formatRate, printPath } from '../domain/text.ts';
import { counted } from './terminal.ts';

/** How an operation that runs is shown: as lines of a frame that is drawn again and again, or as one line of a log. */
export interface Frame {
  /** Columns and rows of the terminal. */
  width: number;
  rows: number;
  colour: boolean;
  /** Since the operation was started, ms. */
  elapsed: number;
}

const BAR = 20;
const NAME = 16;

/** A heading, a line for each node in as many as there is room for, and why the last attempt failed. */
export function frameOf(status: OperationStatus, frame: Frame): string[] {
  const { progress } = status;
  const paint = painter(frame.colour);
  const lines = [`${paint.bold(headingOf(status))}  ${formatDuration(frame.elapsed)}`];
  const nodes = progress?.nodes ?? [];
  const room = Math.max(1, frame.rows - 4);
  const width = Math.min(NAME, Math.max(0, ...nodes.map((node) => node.length)));
  for (const node of nodes.length <= room ? nodes : busiest(status, room - 1)) {
    lines.push(nodeLine(status, node, width, paint));
  }
  for (const [name, work] of Object.entries(progress?.byNode ?? {})) {
    if (!nodes.includes(name)) lines.push(`  ${cut(name, NAME)}  ${workOf(work)}`);
  }
  if (nodes.length > room) lines.push(`  … and ${counted(nodes.length - room + 1, 'more node')}`);
  if (progress?.lastFailure) lines.push(paint.yellow(`  ${printable(progress.lastFailure)}`));
  return lines.map((line) => cut(line, frame.width));
}

/** For logs and pipes: phase, nodes, what is done of what there is. */
export function plainLine(status: OperationStatus): string {
  const { progress } = status;
  const parts = [headingOf(status)];
  if (progress && progress.nodes.length > 0) {
    parts.push(`${progress.done.length} of ${counted(progress.nodes.length, 'node')} done`);
    const busy = busyNodes(status);
    const sum = (count: keyof Omit<NodeProgress, 'at'>): number => busy.reduce((all, node) => all + node[count], 0);
    const [files, bytes, total, rate] = [sum('filesDone'), sum('bytesDone'), sum('bytesTotal'), sum('rate')];
    if (busy.length > 0) parts.push(`at work: ${counted(files, 'file')}`, bytesOf(bytes, total), formatRate(rate));
  }
  for (const [name, { at, bytesDone, bytesTotal, rate }] of Object.entries(progress?.byNode ?? {})) {
    if (progress?.nodes.includes(name)) continue;
    parts.push(printable(at), bytesOf(bytesDone, bytesTotal), formatRate(rate));
  }
  if (progress?.lastFailure) parts.push(printable(progress.lastFailure));
  return parts.join(', ');
}

/** The part that changes when an operation enters another phase or attempt. */
export function headingOf({ id, progress }: OperationStatus): string {
  if (progress === null) return `${id}: no coordinator answers, the operation waits for one`;
  const { attempt, attempts, phase } = progress;
  return `${id}: ${phase}${attempt > 1 ? ` (attempt ${attempt} of ${attempts})` : ''}`;
}

function nodeLine(status: OperationStatus, node: string, width: number, paint: Painter): string {
  const name = `  ${cut(node, NAME).padEnd(width)}  `;
  if (status.progress?.done.includes(node)) return `${name}${paint.green('done')}`;
  const at = status.progress?.byNode[node];
  return at === undefined ? `${name}waiting for its worker` : `${name}${workOf(at)}`;
}

function workOf(at: NodeProgress): string {
  const done =
    at.bytesTotal > 0 ? at.bytesDone / at.bytesTotal : at.filesTotal > 0 ? at.filesDone / at.filesTotal : undefined;
  const parts = [bytesOf(at.bytesDone, at.bytesTotal)];
  if (at.bytesTotal === 0 && at.filesDone > 0) parts.unshift(counted(at.filesDone, 'file'));
  if (at.rate > 0) parts.push(formatRate(at.rate));
  if (at.rate > 0 && at.bytesTotal > at.bytesDone) parts.push(`${timeLeft(at)} left`);
  if (at.at) parts.push(printable(at.at));
  return `${done === undefined ? '' : `${bar(Math.min(1, done))}  `}${parts.join('  ')}`;
}

const bytesOf = (done: number, total: number): string =>
  total > 0 ? `${formatBytes(done)} of ${formatBytes(total)}` : formatBytes(done);

const timeLeft = ({ bytesDone, bytesTotal, rate }: NodeProgress): string =>
  formatDuration(Math.ceil((bytesTotal - bytesDone) / rate) * 1000);

function bar(share: number): string {
  const full = Math.floor(share * BAR);
  return `${'█'.repeat(full)}${'░'.repeat(BAR - full)} ${`${Math.floor(share * 100)}%`.padStart(4)}`;
}

const busyNodes = ({ progress }: OperationStatus): NodeProgress[] =>
  Object.entries(progress?.byNode ?? {}).flatMap(([node, at]) => (progress?.done.includes(node) ? [] : [at]));

/** Those that work come first, those that wait next, those that are done last. */
function busiest({ progress }: OperationStatus, count: number): string[] {
  const rank = (node: string): number => (progress?.done.includes(node) ? 2 : progress?.byNode[node] ? 0 : 1);
  return (progress?.nodes ?? []).toSorted((a, b) => rank(a) - rank(b)).slice(0, count);
}

/** Names of files come from strangers: nothing of them may move the cursor. */
const printable = (text: string): string => printPath(text);

const ESCAPES = /\x1b\[\d*m/g;

/** At most `width - 1` characters, colours not counted: a full line makes some terminals wrap. */
function cut(line: string, width: number): string {
  const plain = line.replaceAll(ESCAPES, '');
  if (plain.length < width) return line;
  return plain.slice(0, Math.max(0, width - 2)) + (width > 2 ? '…' : '');
}

type Painter = Record<'bold' | 'green' | 'yellow', (text: string) => string>;

function painter(colour: boolean): Painter {
  const code = (number: number) => (text: string) => (colour ? `\x1b[${number}m${text}\x1b[0m` : text);
  return { bold: code(1), green: code(32), yellow: code(33) };
}
