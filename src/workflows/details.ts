import type { OperationProgress } from '../domain/operations.ts';
import { formatBytes, formatDuration, formatRate } from '../domain/text.ts';

/** What Temporal's UI shows of a run: Markdown, told anew at each step. What is within a step is in its heartbeats. */

/** What a node did in a phase, in words, and the bytes that it moved for it. */
export interface Did {
  text: string;
  bytes: number;
}

interface Done extends Did {
  ms: number;
}

/** More nodes are counted, not listed. */
const LISTED = 100;

export class Details {
  #phase = '';
  #since = 0;
  /** What each node of the phase has to do, where that is known. */
  #todo: (node: string) => string = () => '';
  readonly #done = new Map<string, Done>();
  /** A line for each phase that ended, of this attempt. */
  #former: string[] = [];
  cancelling = false;

  /** `now`: ms since the epoch, by the clock of the workflow. */
  enter(phase: string, now: number, todo: (node: string) => string = () => ''): void {
    if (this.#done.size > 0) this.#former.push(this.#summed(now));
    if (phase === 'between attempts') this.#former = [];
    this.#done.clear();
    this.#phase = phase;
    this.#since = now;
    this.#todo = todo;
  }

  did(node: string, did: Did, now: number): void {
    this.#done.set(node, { ...did, ms: now - this.#since });
  }

  markdown({ attempt, attempts, step, nodes, done, missing, lastFailure }: OperationProgress): string {
    const parts = [`**${this.#phase}${step === undefined ? '' : ` ${step}`}**`];
    if (nodes.length > 0) parts.push(`on ${nodes.length} nodes, ${done.length} done`);
    if (missing !== undefined) parts.push(`without ${missing.join(', ')}`);
    if (attempts > 1 && attempt > 1) parts.push(`(attempt ${attempt} of ${attempts})`);
    const blocks = [parts.join(' ')];
    if (this.cancelling) blocks.push('cancelling: it ends, and unlocks the cluster, when the work has stopped');
    if (nodes.length > 0) blocks.push(listed(this.#lines(nodes, done)));
    if (this.#former.length > 0) blocks.push(`before:\n\n${listed(this.#former)}`);
    if (lastFailure !== undefined) blocks.push(`last failure: ${lastFailure}`);
    return blocks.join('\n\n');
  }

  /** Those at work first: of many nodes they are worth the room. */
  #lines(nodes: readonly string[], done: readonly string[]): string[] {
    const over = new Set(done);
    const working = nodes.filter((node) => !over.has(node));
    return [...working, ...done].map((node) => {
      if (!over.has(node)) return [`${node}: at work`, this.#todo(node)].filter(Boolean).join(', ');
      const did = this.#done.get(node);
      return did === undefined ? `${node}: done` : `${node}: ${did.text} ${paceOf(did)}`;
    });
  }

  #summed(now: number): string {
    const bytes = [...this.#done.values()].reduce((all, did) => all + did.bytes, 0);
    const pace = paceOf({ bytes, ms: now - this.#since });
    return `${this.#phase}: ${this.#done.size} nodes, ${formatBytes(bytes)} ${pace}`;
  }
}

function paceOf({ bytes, ms }: Pick<Done, 'bytes' | 'ms'>): string {
  const rate = ms > 0 && bytes > 0 ? `, ${formatRate((bytes / ms) * 1000)}` : '';
  return `in ${formatDuration(ms)}${rate}`;
}

function listed(lines: readonly string[]): string {
  const more = lines.length - LISTED;
  return [...lines.slice(0, LISTED), ...(more > 0 ? [`… and ${more} more`] : [])].map((line) => `- ${line}`).join('\n');
}
