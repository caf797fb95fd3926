import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Bucket, Contender, Place } from './contender.ts';
import type { Measured } from './measure.ts';
import { bytesBelow, measure } from './measure.ts';

/** What is measured is what is shipped: the modules of `dist`, typed by their sources. */
const built = (path: string): string => new URL(`../dist/${path}`, import.meta.url).href;
const { startStack } = (await import(built('cli/devStack.js'))) as typeof import('../src/cli/devStack.ts');
const { loadConfig } = (await import(built('config.js'))) as typeof import('../src/config.ts');
type Stack = Awaited<ReturnType<typeof startStack>>;

const program = new URL('../bin/homarus.js', import.meta.url).pathname;

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
  #stack: Stack | undefined;
  #number = 0;

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

  /** Its processes start when the repository is there, so that they have opened it as those of a running cluster have. */
  async begin(data: string): Promise<void> {
    await this.#stack?.stop();
    if (this.#number > 0) rmSync(this.#directory, { recursive: true, force: true });
    this.#number++;
    const directory = join(this.#room, `processes-${this.#number}`);
    mkdirSync(directory, { recursive: true });
    writeFileSync(this.#passphraseFile, 'for measurements only\n', { mode: 0o600 });
    writeFileSync(this.#configFile, JSON.stringify(this.#configuration(data), null, 2));
    await promisify(execFile)(process.execPath, [program, 'init', '--encrypt', '--config', this.#configFile]);
    const config = await loadConfig(this.#configFile);
    this.#stack = await startStack({ config, configFile: this.#configFile, directory, report: () => undefined });
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

  #configuration(data: string): object {
    const { nodes = 1, config } = this.#options;
    const one = (id: string, root: string) => ({ id, root, linkDir: join(this.#room, 'links', id) });
    const numbers = Array.from({ length: nodes }, (_, place) => place + 1);
    return {
      cluster: 'bench',
      storages: { main: this.#storage() },
      nodes: nodes === 1 ? [one('n1', data)] : numbers.map((number) => one(`n${number}`, join(data, `n${number}`))),
      dataDir: join(this.#room, `state-${this.#number}`),
      ...config,
    };
  }

  #storage(): object {
    const { bucket } = this.#place;
    // As its peers, which know nothing else.
    const encryption = { passphraseFile: this.#passphraseFile };
    if (bucket === undefined) return { type: 'files', path: this.#directory, encryption };
    const { endpoint } = bucket;
    const credentials = { file: keysFile(this.#room, bucket) };
    return {
      type: 's3',
      bucket: bucket.bucket,
      prefix: this.#name,
      endpoint,
      region: 'us-east-1',
      pathStyle: true,
      credentials,
      encryption,
    };
  }

  get #name(): string {
    return `homarus-${this.#number}`;
  }

  get #directory(): string {
    return join(this.#place.bucket?.directory ?? this.#room, this.#name);
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
      args: [program, ...args, '--config', this.#configFile],
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
