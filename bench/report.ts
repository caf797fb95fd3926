import type { CaseResult, Figure, Goal } from './bench.ts';
import type { Measured } from './measure.ts';
import { median } from './measure.ts';

/** Figures as people and `docs/benchmarks.md` show them. */

export const secondsOf = ({ runs }: Figure): number => median(runs.map(({ seconds }) => seconds));

/** How often the time of `one` goes into that of `other`. */
export const timesFaster = (one: Figure, other: Figure): number => secondsOf(other) / secondsOf(one);

export function figureOf(figures: readonly Figure[], who: string, what?: string): Figure | undefined {
  return figures.find((figure) => figure.who === who && (what === undefined || figure.what === what));
}

/** "so many times as fast as a peer", where the peer is installed. */
export function fasterThan(figures: readonly Figure[], peer: string, times: number, what?: string): Goal[] {
  const own = figureOf(figures, 'homarus', what);
  const other = figureOf(figures, peer, what);
  if (!own || !other) return [];
  const reached = timesFaster(own, other);
  const named = what === undefined ? '' : `${what}: `;
  return [{ goal: `${named}${times}x as fast as ${peer}`, reached: `${reached.toFixed(2)}x`, met: reached >= times }];
}

export function atMost(goal: string, reached: number, limit: number, unit: string): Goal {
  return {
    goal: `${goal}: at most ${round(limit)} ${unit}`,
    reached: `${round(reached)} ${unit}`,
    met: reached <= limit,
  };
}

/** A table for each case: medians, the ratio to Homarus, memory of the largest process, CPU time of all. */
export function markdown(title: string, { figures, goals }: CaseResult): string {
  const rows = figures.map((figure) => {
    const own = figureOf(figures, 'homarus', figure.what);
    const ratio = own && own !== figure ? `${timesFaster(own, figure).toFixed(2)}` : '';
    const { runs, stored, requests } = figure;
    return [
      figure.what,
      figure.who,
      secondsOf(figure).toFixed(2),
      ratio,
      median(runs.map(({ cpu }) => cpu)).toFixed(1),
      mib(Math.max(...runs.map(({ peak }) => peak))),
      stored === undefined ? '' : mib(stored),
      requests === undefined ? '' : requestsText(requests),
    ];
  });
  const head = ['what', 'who', 's', 'times homarus', 'CPU s', 'peak MiB', 'stored MiB', 'requests'];
  const table = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  const reached = goals.map(
    ({ goal, reached: found, met }) => `- ${met ? 'reached' : 'missed'}: ${goal}; it is ${found}`,
  );
  return [`### ${title}`, '', ...table, '', ...reached, ''].join('\n');
}

/** Which process of Homarus took what, in its median run. */
export function processesOf({ runs }: Figure): string {
  const sorted = runs.toSorted((a, b) => a.seconds - b.seconds);
  const { processes } = sorted[(sorted.length - 1) >> 1] as Measured;
  return Object.entries(processes)
    .map(([name, { cpu, peak }]) => `${name} ${cpu.toFixed(2)} s, ${mib(peak)} MiB`)
    .join('; ');
}

function requestsText(requests: Record<string, number>): string {
  const sum = Object.values(requests).reduce((all, count) => all + count, 0);
  const verbs = Object.entries(requests)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([verb, count]) => `${verb} ${count}`);
  return `${sum} (${verbs.join(', ')})`;
}

const mib = (bytes: number): string => (bytes / 1024 ** 2).toFixed(bytes < 10 * 1024 ** 2 ? 1 : 0);
const round = (value: number): string => (Number.isInteger(value) ? String(value) : value.toFixed(2));
