import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import type { BackupEntry } from '../../src/domain/documents.ts';
import { compileSelection } from '../../src/node/select.ts';
import { type LoadedPlugin, loadPlugin, type PluginRef } from '../../src/plugins/load.ts';
import type { CoordinatorContext, NodeContext, Notes } from '../../src/plugins/module.ts';
import type { Activities, BackupSteps, Calls } from '../../src/plugins/plugin.ts';
import { notesIn } from '../../src/workers/notes.ts';
import { StreamsInMemory } from './etcdContext.ts';
import type { Room } from './pluginContract.ts';

/** A plugin's flow and activities without Temporal, one after another, so that a stop comes at the same place each time. */

/** At a touch of what an activity is given, from 1: the log, notes, streams, and its end, when its answer is lost. */
export interface Stop {
  at: number;
  /** The activity is run again, as Temporal does, or the nodes clean up and the flow begins anew. */
  then: 'goes on' | 'begins anew';
}

class BeginAnew extends Error {}

/** One run of an activity: when it is stopped, all that it touches from then on throws. */
class Life {
  readonly #stopping = new AbortController();
  readonly #isTheEnd: () => boolean;

  constructor(isTheEnd: () => boolean) {
    this.#isTheEnd = isTheEnd;
  }

  get signal(): AbortSignal {
    return this.#stopping.signal;
  }

  touch(): void {
    if (!this.signal.aborted && this.#isTheEnd()) this.#stopping.abort(new Error('stopped here'));
    this.signal.throwIfAborted();
  }

  around<T>(work: () => T): T {
    this.touch();
    const answer = work();
    this.touch();
    return answer;
  }
}

/** As in a cluster of processes. */
export const azOf = ({ nodes }: Room, node: string): string => `az-${nodes.indexOf(node) + 1}`;

type Run = (input: unknown, context: unknown) => Promise<unknown>;

export class PluginTrial {
  touches = 0;
  stopped = false;
  data: unknown;
  /** When nodes have cleaned up, as they do when the operation gives them back. */
  onReleased: () => void = () => undefined;
  /** All that was logged. */
  said = '';
  readonly #room: Room;
  readonly #plugin: LoadedPlugin;
  readonly #stop: Stop | undefined;
  readonly #streams = new StreamsInMemory();

  private constructor(room: Room, plugin: LoadedPlugin, stop: Stop | undefined) {
    this.#room = room;
    this.#plugin = plugin;
    this.#stop = stop;
  }

  static async of(room: Room, plugin: PluginRef, stop?: Stop): Promise<PluginTrial> {
    return new PluginTrial(room, await loadPlugin(plugin), stop);
  }

  backup(): Promise<void> {
    const { below = '' } = this.#plugin.selection;
    return this.#attempts(async () => {
      const done = [''];
      const step = (name: string, after: string) => async () => {
        if (done.at(-1) !== after) throw new Error(`${name} comes after ${done.at(-1)}`);
        done.push(name);
        if (name === 'snapshot') this.#copy((node) => join(this.#room.root(node), below), this.#taken);
      };
      const steps: BackupSteps<unknown> = {
        ...this.#common,
        snapshot: step('snapshot', ''),
        plan: step('plan', 'snapshot'),
        upload: step('upload', 'plan'),
        commit: async ({ data }) => {
          await step('commit', 'upload')();
          // As it comes back from a manifest.
          this.data = JSON.parse(JSON.stringify(data ?? null));
        },
      };
      await this.#plugin.flow.backup(steps, this.#calls());
      if (done.at(-1) !== 'commit') throw new Error('it ended without a commit');
    });
  }

  restore(): Promise<void> {
    return this.#attempts(async () => {
      const { nodes } = this.#room;
      const steps = {
        ...this.#common,
        backup: { name: 'backup' } as BackupEntry,
        ...{ data: this.data, version: this.#plugin.flow.version, partial: false },
        pairs: nodes.map((node) => ({ from: node, to: node })),
        restore: async () => this.#copy(this.#taken, this.#room.root),
      };
      await this.#plugin.flow.restore(steps, this.#calls());
    });
  }

  get #common() {
    return { nodes: this.#room.nodes, missing: [], failure: (message: string) => new Error(message) };
  }

  /** What follows each attempt follows a release, too. */
  async #attempts(attempt: () => Promise<void>): Promise<void> {
    try {
      await attempt();
    } catch (error) {
      if (!(error instanceof BeginAnew)) throw error;
      await this.#cleanUp();
      this.onReleased();
      await attempt();
    }
    await this.#cleanUp();
    this.onReleased();
  }

  async #cleanUp(): Promise<void> {
    const run: Run = async (_, context) => this.#plugin.module.cleanUp?.(context as NodeContext);
    for (const node of this.#room.nodes) {
      // One that was stopped is made again when the process starts.
      await this.#again(run, null, (life) => this.#onNode(node, life)).catch((error: unknown) => {
        if (!(error instanceof BeginAnew)) throw error;
        return this.#again(run, null, (life) => this.#onNode(node, life));
      });
    }
  }

  #calls(): Calls<Activities> {
    const { flow, module } = this.#plugin;
    const { nodes } = this.#room;
    const calls = Object.entries(flow.activities).map(([name, { place }]) => {
      const run = module.activities[name] as unknown as Run;
      const onNode = (node: string, input: unknown) => this.#again(run, input, (life) => this.#onNode(node, life));
      if (place === 'coordinator') {
        return [name, (input: unknown) => this.#again(run, input, (life) => this.#onCoordinator(life))];
      }
      if (place === 'oneNode') return [name, onNode];
      return [
        name,
        async (input: unknown) => {
          const answers: Record<string, unknown> = {};
          for (const node of nodes) answers[node] = await onNode(node, input);
          return answers;
        },
      ];
    });
    return Object.fromEntries(calls) as Calls<Activities>;
  }

  async #again(run: Run, input: unknown, contextOf: (life: Life) => unknown): Promise<unknown> {
    const handed = JSON.stringify(input ?? null);
    for (;;) {
      const life = this.#life();
      try {
        const answer = await run(JSON.parse(handed), contextOf(life));
        life.touch();
        return JSON.parse(JSON.stringify(answer ?? null));
      } catch (error) {
        if (!life.signal.aborted) throw error;
        if (this.#stop?.then === 'begins anew') throw new BeginAnew();
      }
    }
  }

  #life(): Life {
    return new Life(() => {
      this.touches++;
      if (this.stopped || this.touches !== this.#stop?.at) return false;
      this.stopped = true;
      return true;
    });
  }

  #onNode(node: string, life: Life): NodeContext {
    const notes = notesIn(join(this.#room.directory, 'state', node), this.#plugin.flow.name);
    const guarded: Notes = {
      read: <T>() => life.around(() => notes.read<T>()),
      write: (note) => life.around(() => notes.write(note)),
      clear: () => life.around(() => notes.clear()),
    };
    const roots = [{ name: 'data', path: this.#room.root(node) }];
    return { ...this.#context(life), node: { id: node, az: azOf(this.#room, node), roots }, notes: guarded };
  }

  #onCoordinator(life: Life): CoordinatorContext {
    async function* touching<T>(source: AsyncIterable<T>): AsyncGenerator<T> {
      for await (const part of source) {
        life.touch();
        yield part;
      }
    }
    return {
      ...this.#context(life),
      nodes: this.#room.nodes.map((id) => ({ id, az: azOf(this.#room, id) })),
      backups: async () => [],
      streams: {
        write: (name, source) => this.#streams.write(name, touching(source)),
        read: (name) => touching(this.#streams.read(name)),
      },
    };
  }

  #context(life: Life) {
    return {
      options: this.#plugin.options,
      cluster: 'east',
      operation: 'operation-1',
      signal: life.signal,
      log: (level: string, text: string, fields?: object) => {
        this.said += `${level} ${text} ${JSON.stringify(fields)}\n`;
        life.touch();
      },
      failure: (message: string, options?: ErrorOptions) => new Error(message, options),
    };
  }

  readonly #taken = (node: string): string => join(this.#room.directory, 'taken', node);

  /** As snapshot and restore do with files, those that the plugin selects. */
  #copy(from: (node: string) => string, to: (node: string) => string): void {
    const { file } = compileSelection(this.#plugin.selection);
    const filesOf = (root: string): string[] =>
      existsSync(root)
        ? readdirSync(root, { recursive: true, withFileTypes: true })
            .filter((entry) => entry.isFile())
            .map((entry) => relative(root, join(entry.parentPath, entry.name)))
            .filter(file)
        : [];
    for (const node of this.#room.nodes) {
      for (const path of filesOf(to(node))) rmSync(join(to(node), path));
      for (const path of filesOf(from(node))) {
        mkdirSync(dirname(join(to(node), path)), { recursive: true });
        copyFileSync(join(from(node), path), join(to(node), path));
      }
    }
  }
}
