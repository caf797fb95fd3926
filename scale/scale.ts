import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import proto from '@temporalio/proto';
import { startOperation } from '../src/client/operations.ts';
import { TestCluster } from '../test/support/cluster.ts';
import { holdOf } from './hold.ts';

/** One operation over many nodes: what it costs, and how near it comes to the limits of Temporal. */

/** Nodes in one process. */
const TOGETHER = 50;
/** Files of a node, each of so many bytes. */
const FILES = 20;
const BYTES = 4_096;

/** Of a backup of all nodes. */
export interface Cost {
  nodes: number;
  /** ms */
  time: number;
  events: number;
  /** Bytes of the history, of its largest event, and of the largest payload in it. */
  historyBytes: number;
  largestEvent: number;
  largestPayload: number;
  /** At one moment. */
  pendingActivities: number;
  /** Bytes at their highest. */
  coordinatorMemory: number;
  temporalMemory: number;
  /** Processor time of Temporal, ms. */
  temporalCpu: number;
}

export interface Cancelled {
  nodes: number;
  /** From the request to the end of the operation, when all is unlocked, ms. */
  time: number;
  events: number;
}

export class ScaleCluster {
  readonly #cluster: TestCluster;
  readonly #children: ChildProcess[] = [];
  #changes = 0;

  private constructor(cluster: TestCluster) {
    this.#cluster = cluster;
  }

  /** `polls`: so many long polls of a kind Temporal grants, other than its default. */
  static async start(nodes: number, { polls }: { polls?: number } = {}): Promise<ScaleCluster> {
    const ids = Array.from({ length: nodes }, (_, number) => `n${String(number + 1).padStart(4, '0')}`);
    const cluster = await TestCluster.start({
      storage: 'files',
      nodes: ids,
      started: ['coordinator'],
      lock: { throttle: '5s' },
      ...(polls === undefined ? {} : { temporal: { 'frontend.namespaceCount': polls } }),
    });
    const scale = new ScaleCluster(cluster);
    try {
      for (let first = 0; first < ids.length; first += TOGETHER)
        await scale.#launch(ids.slice(first, first + TOGETHER));
    } catch (error) {
      await scale.stop();
      throw error;
    }
    return scale;
  }

  /** Backs up all nodes, on each of which all files are new. */
  async backup(): Promise<Cost> {
    const { temporal: server } = this.#cluster;
    const cpu = cpuOf(server.pid);
    const id = await this.#begin();
    const began = performance.now();
    let pendingActivities = 0;
    for (;;) {
      const { raw, status } = await this.#cluster.client.workflow.getHandle(id).describe();
      pendingActivities = Math.max(pendingActivities, raw.pendingActivities?.length ?? 0);
      if (status.name !== 'RUNNING') break;
      await pause(100);
    }
    const time = performance.now() - began;
    const { state, error } = await this.#cluster.end(id);
    if (state !== 'succeeded') throw new Error(`${id} ended as ${state}: ${error?.message}`);
    return {
      nodes: this.#cluster.nodes.length,
      time,
      ...(await this.#history(id)),
      pendingActivities,
      coordinatorMemory: memoryOf(this.#cluster.process('coordinator').pid),
      temporalMemory: memoryOf(server.pid),
      temporalCpu: cpuOf(server.pid) - cpu,
    };
  }

  /** Begins a backup and cancels it while all nodes upload. */
  async cancel(): Promise<Cancelled> {
    const hold = holdOf(this.#cluster.configFile);
    writeFileSync(hold, '');
    const id = await this.#begin();
    await this.#cluster.until(id, ({ progress }) => progress?.phase === 'upload');
    const began = performance.now();
    await this.#cluster.client.workflow.getHandle(id).cancel();
    const { state } = await this.#cluster.end(id);
    const time = performance.now() - began;
    rmSync(hold);
    if (state !== 'cancelled') throw new Error(`${id} was cancelled and ended as ${state}`);
    const locked = Object.keys(await this.#cluster.locked());
    if (locked.length > 0) throw new Error(`${id} was cancelled and left locked: ${locked.join(', ')}`);
    const { events } = await this.#history(id);
    return { nodes: this.#cluster.nodes.length, time, events };
  }

  async stop(): Promise<void> {
    const ends = this.#children.map((child) => (child.exitCode === null ? once(child, 'exit') : undefined));
    for (const child of this.#children) child.disconnect();
    await Promise.all(ends);
    await this.#cluster.stop();
  }

  async #launch(ids: readonly string[]): Promise<void> {
    const program = fileURLToPath(new URL('lightNodes.ts', import.meta.url));
    const log = openSync(join(this.#cluster.directory, `nodes.${ids[0]}.log`), 'a');
    const child = fork(program, [this.#cluster.configFile, ...ids], {
      // Not those of whoever calls, who may be a test runner.
      execArgv: ['--disable-warning=ExperimentalWarning'],
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    this.#children.push(child);
    const [said] = await Promise.race([once(child, 'message'), once(child, 'exit')]);
    if (said !== 'ready') throw new Error(`the process of nodes ${ids[0]} … ended with ${said}`);
  }

  async #begin(): Promise<string> {
    this.#changes++;
    for (const node of this.#cluster.nodes) {
      for (let file = 0; file < FILES; file++) {
        const content = Buffer.alloc(BYTES, `${node} ${file} ${this.#changes} `);
        writeFileSync(join(this.#cluster.root(node), `file-${file}`), content);
      }
    }
    const { workflowId } = await startOperation(this.#cluster.client, 'east', 'backup', { by: 'scale' });
    return workflowId;
  }

  async #history(id: string) {
    const { events } = await this.#cluster.client.workflow.getHandle(id).fetchHistory();
    const sizes = (events ?? []).map(
      (event) => proto.temporal.api.history.v1.HistoryEvent.encode(event).finish().length,
    );
    const payloads = (events ?? []).flatMap((event) => payloadsIn(event));
    return {
      events: sizes.length,
      historyBytes: sizes.reduce((sum, size) => sum + size, 0),
      largestEvent: Math.max(...sizes),
      largestPayload: Math.max(...payloads),
    };
  }
}

/** Bytes of all payloads below. */
function payloadsIn(value: unknown): number[] {
  if (typeof value !== 'object' || value === null) return [];
  if (value instanceof Uint8Array) return [value.length];
  return Object.values(value).flatMap(payloadsIn);
}

function memoryOf(pid: number): number {
  const [, kB = '0'] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kB) * 1024;
}

/** ms; the clock of Linux's processes ticks 100 times a second. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
