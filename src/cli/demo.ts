import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { loadConfig } from '../config.ts';
import { HomarusError } from '../domain/errors.ts';
import { formatDuration } from '../domain/text.ts';
import type { DevStack } from './devStack.ts';
import { program, startStack } from './devStack.ts';
import type { Answer } from './output.ts';
import { changeSampleTree, differences, fingerprint, makeSampleTree } from './sampleTree.ts';

const NODES = ['n1', 'n2', 'n3'];
const FILES_PER_NODE = 2_000;

export interface DemoOptions {
  keep: boolean;
  note(text: string): void;
  interrupted: AbortSignal;
}

/**
 * The main job before your eyes: a throw-away cluster of three node workers is backed up twice, loses data, and is restored
 * and compared byte for byte.
 */
export async function runDemo({ keep, note, interrupted }: DemoOptions): Promise<Answer> {
  const started = performance.now();
  const directory = mkdtempSync(join(tmpdir(), 'homarus-demo-'));
  const demo = new Demo(directory, note, interrupted);
  let kept = false;
  try {
    await demo.start(keep);
    await demo.backUp();
    await demo.loseAndRestore();
    note(`\nAll bytes are back. It took ${formatDuration(performance.now() - started)} in all.`);
    kept = keep;
    note(keep ? demo.whatNext() : 'Next:  npx homarus demo --keep   leaves the cluster running for you to play with.');
    return { result: { identical: true, nodes: NODES.length, ...(keep ? { directory } : {}) } };
  } finally {
    if (!kept) {
      await demo.stop();
      rmSync(directory, { recursive: true, force: true });
    }
  }
}

class Demo {
  readonly #directory: string;
  readonly #note: (text: string) => void;
  readonly #interrupted: AbortSignal;
  readonly #configFile: string;
  readonly #roots: string[];
  #stack: DevStack | undefined;

  constructor(directory: string, note: (text: string) => void, interrupted: AbortSignal) {
    this.#directory = directory;
    this.#note = note;
    this.#interrupted = interrupted;
    this.#configFile = join(directory, 'homarus.json');
    this.#roots = NODES.map((id) => join(directory, 'nodes', id));
  }

  async start(detached: boolean): Promise<void> {
    this.#note(`A cluster of ${NODES.length} nodes with ${FILES_PER_NODE} files each, in ${this.#directory}`);
    for (const [place, root] of this.#roots.entries()) {
      mkdirSync(root, { recursive: true });
      makeSampleTree(root, { seed: place + 1, sharedSeed: 42, files: FILES_PER_NODE });
    }
    const config = await this.#configure({});
    this.#note('Starting Temporal, a coordinator and three node workers …');
    this.#stack = await startStack({
      config,
      configFile: this.#configFile,
      directory: join(this.#directory, 'processes'),
      report: this.#note,
      detached,
    });
    const { address, namespace, uiUrl } = this.#stack.temporal;
    await this.#configure({ temporal: { address, namespace } });
    this.#note(`See it in Temporal's UI while it runs:  ${uiUrl}/namespaces/${namespace}/workflows`);
    await this.#homarus('init');
  }

  async backUp(): Promise<void> {
    await this.#homarus('backup', '--label', 'the first');
    this.#note('\nA day of work: logs grow, some files are new, some rewritten. Only that is stored:');
    for (const [place, root] of this.#roots.entries()) changeSampleTree(root, 100 + place);
    await this.#homarus('backup', '--label', 'a day later');
    await this.#homarus('list');
  }

  async loseAndRestore(): Promise<void> {
    const before = this.#roots.map((root) => fingerprint(root));
    this.#wipe(this.#roots[1] as string);
    this.#damage(this.#roots[2] as string);
    const lost = this.#differing(before);
    this.#note(`\nA disaster: node n2 has lost everything, node n3 has damaged files. ${lost.length} paths differ.`);
    await this.#homarus('restore', 'latest', '--yes');
    const left = this.#differing(before);
    if (left.length === 0) return;
    throw new HomarusError('Internal', `after the restore ${left.length} paths differ: ${left.slice(0, 5).join(', ')}`);
  }

  whatNext(): string {
    const command = `npx homarus`;
    const processes = [...(this.#stack?.processes ?? []), { pid: this.#stack?.temporal.pid }];
    return [
      'It runs on. Try:',
      `  export HOMARUS_CONFIG=${this.#configFile}`,
      `  ${command} status`,
      `  ${command} ls latest "log/*" --node n1`,
      `  ${command} extract latest --node n2 --to /tmp/n2     # works with Temporal gone, too`,
      `  ${command} lock --for 10m && ${command} backup         # refused: the cluster is locked`,
      'To stop and remove it:',
      `  kill ${processes.map(({ pid }) => pid).join(' ')}; sleep 3; rm -r ${this.#directory}`,
    ].join('\n');
  }

  async stop(): Promise<void> {
    await this.#stack?.stop();
  }

  async #configure(more: object): Promise<Config> {
    const document = {
      cluster: 'demo',
      ...more,
      storages: { local: { type: 'files', path: join(this.#directory, 'storage') } },
      nodes: NODES.map((id, place) => ({ id, az: `zone-${place + 1}`, root: this.#roots[place] })),
      dataDir: join(this.#directory, 'state'),
    };
    writeFileSync(this.#configFile, `${JSON.stringify(document, null, 2)}\n`);
    return loadConfig(this.#configFile);
  }

  /** What an operator would type. */
  async #homarus(...args: string[]): Promise<void> {
    this.#interrupted.throwIfAborted();
    this.#note(`\n$ homarus ${args.map((arg) => (arg.includes(' ') ? `"${arg}"` : arg)).join(' ')}`);
    const child = spawn(process.execPath, [program, ...args, '--config', this.#configFile], { stdio: 'inherit' });
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    this.#interrupted.throwIfAborted();
    if (code === 0) return;
    const how = signal ? `was ended by ${signal}` : `ended with code ${code}`;
    throw new HomarusError('Internal', `homarus ${args[0]} ${how}`, { hint: 'Its own words are above.' });
  }

  #wipe(root: string): void {
    for (const name of readdirSync(root)) rmSync(join(root, name), { recursive: true });
  }

  #damage(root: string): void {
    const table = join(root, 'data', 'table-000');
    for (const [place, name] of readdirSync(table).sort().entries()) {
      const file = join(table, name);
      if (place % 3 === 0) rmSync(file);
      else if (place % 3 === 1) truncateSync(file, 10);
      else writeFileSync(file, 'not what was here');
    }
    writeFileSync(join(root, 'data', 'stray.tmp'), 'nobody needs this');
    rmSync(join(root, 'log'), { recursive: true });
  }

  #differing(before: readonly ReadonlyMap<string, string>[]): string[] {
    return this.#roots.flatMap((root, place) =>
      differences(before[place]!, fingerprint(root)).map((path) => `${NODES[place]}:${path}`),
    );
  }
}
