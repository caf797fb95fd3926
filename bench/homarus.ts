import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bucket, Contender, Place } from './contender.ts';
import type { Measured } from './measure.ts';
import { bytesBelow, measure } from './measure.ts';

/** What is measured is what is shipped: the modules of `dist`, typed by their sources. */
const built = (path: string): string => new URL(`../dist/${path}`, import.meta.url).href;
const { startStack } = (await import(built('cli/devStack.js'))) as typeof import('../src/cli/devStack.ts');
const { loadConfig } = (await import(built('config.js'))) as typeof import('../src/config.ts');
type Stack = Awaited<ReturnType<typeof startStack>>;

const program = new URL('../bin/homarus.js', import.meta.url).pathname;
/** A running cluster has so many storages, since its processes read their configuration once. */
const STORAGES = 20;

export interface HomarusOptions {
  /** With several, each has a directory `n<number>` of the data for its root. */
  nodes?: number;
  /** More of the configuration. */
  config?: Record<string, unknown>;
}

/** Homarus as its users run it: Temporal, a coordinator and the nodes are up, and the command is measured to its end. */
export class Homarus implements Contender {
  readonly name: string = 'homarus';
  readonly version: string;
  readonly #place: Place;
  readonly #options: HomarusOptions;
  readonly #room: string;
  #data = '';
  #stack: Stack | undefined;
  #stacks = 0;
  #storage = 0;

  constructor(place: Place, options: HomarusOptions = {}) {
    this.#place = place;
    this.#options = options;
    this.#room = join(place.room, this.name);
    rmSync(this.#room, { recursive: true, force: true });
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    this.version = `homarus ${version}, node ${process.versions.node}`;
  }

  async begin(data: string): Promise<void> {
    if (this.#storage > 0) rmSync(this.#directory, { recursive: true, force: true });
    this.#storage++;
    if (this.#stack === undefined || data !== this.#data || this.#storage > STORAGES) await this.#start(data);
    await this.#run('init', '--encrypt');
  }

  backup(): Promise<Measured> {
    return this.#run('backup');
  }

  /** All of it, or what matches. */
  restore(to: string, glob?: string): Promise<Measured> {
    return this.#run('restore', 'latest', '--to', to, ...(glob === undefined ? [] : ['--path', glob]));
  }

  /** What a restore would do, and nothing else. */
  preview(to: string): Promise<Measured> {
    return this.#run('restore', 'latest', '--to', to, '--dry-run');
  }

  keepNewest(keep: number): Promise<Measured> {
    return this.#run('cleanup', '--keep-last', String(keep), '--yes');
  }

  stored(): number {
    return bytesBelow(this.#directory);
  }

  isIn(room: string): boolean {
    return this.#place.room === room;
  }

  async close(): Promise<void> {
    await this.#stack?.stop();
    this.#stack = undefined;
    rmSync(this.#room, { recursive: true, force: true });
  }

  async #start(data: string): Promise<void> {
    await this.#stack?.stop();
    this.#data = data;
    this.#storage = 1;
    this.#stacks++;
    const directory = join(this.#room, `processes-${this.#stacks}`);
    mkdirSync(directory, { recursive: true });
    writeFileSync(this.#passphraseFile, 'for measurements only\n', { mode: 0o600 });
    writeFileSync(this.#configFile, JSON.stringify(this.#configuration(data), null, 2));
    const config = await loadConfig(this.#configFile);
    this.#stack = await startStack({ config, configFile: this.#configFile, directory, report: () => undefined });
  }

  #configuration(data: string): object {
    const { nodes = 1, config } = this.#options;
    const one = (id: string, root: string) => ({ id, root, linkDir: join(this.#room, 'links', id) });
    const numbers = Array.from({ length: nodes }, (_, place) => place + 1);
    const storages = Array.from({ length: STORAGES }, (_, place) => [`s${place + 1}`, this.#storageOf(place + 1)]);
    return {
      cluster: 'bench',
      storages: Object.fromEntries(storages),
      defaultStorage: 's1',
      nodes: nodes === 1 ? [one('n1', data)] : numbers.map((number) => one(`n${number}`, join(data, `n${number}`))),
      dataDir: join(this.#room, `state-${this.#stacks}`),
      ...config,
    };
  }

  #storageOf(number: number): object {
    const { bucket } = this.#place;
    // As its peers, which know nothing else.
    const encryption = { passphraseFile: this.#passphraseFile };
    if (bucket === undefined) return { type: 'files', path: this.#directoryOf(number), encryption };
    const { endpoint } = bucket;
    const credentials = { file: keysFile(this.#room, bucket) };
    const prefix = `homarus-${this.#stacks}-${number}`;
    return {
      type: 's3',
      bucket: bucket.bucket,
      prefix,
      endpoint,
      region: 'us-east-1',
      pathStyle: true,
      credentials,
      encryption,
    };
  }

  #directoryOf(number: number): string {
    return join(this.#place.bucket?.directory ?? this.#room, `homarus-${this.#stacks}-${number}`);
  }

  get #directory(): string {
    return this.#directoryOf(this.#storage);
  }

  get #passphraseFile(): string {
    return join(this.#room, 'passphrase');
  }

  get #configFile(): string {
    return join(this.#room, 'homarus.json');
  }

  #run(...args: string[]): Promise<Measured> {
    const { env, processes, temporal } = this.#stack as Stack;
    return measure({
      program: process.execPath,
      args: [program, ...args, '--storage', `s${this.#storage}`, '--config', this.#configFile],
      env,
      log: join(this.#room, 'log'),
      servants: {
        ...Object.fromEntries(processes.map(({ name, pid }) => [name, pid])),
        temporal: temporal.pid as number,
      },
    });
  }
}

function keysFile(room: string, { accessKeyId, secretAccessKey }: Bucket): string {
  const path = join(room, 'keys.json');
  writeFileSync(path, JSON.stringify({ accessKeyId, secretAccessKey }), { mode: 0o600 });
  return path;
}
