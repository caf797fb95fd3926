import type { ChildProcessByStdio } from 'node:child_process';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import type { Client, Connection } from '@temporalio/client';
import type { StackProcess } from '../../src/cli/devStack.ts';
import { connectTemporal } from '../../src/client/connect.ts';
import type { OperationStatus } from '../../src/client/progress.ts';
import { operationStatus } from '../../src/client/progress.ts';
import { loadConfig } from '../../src/config.ts';
import type { S3Server, TemporalServer } from '../../src/servers.ts';
import { findServer, freePort, startS3, startTemporal } from '../../src/servers.ts';
import { createRepository } from '../../src/storage/create.ts';
import type { ObjectStore } from '../../src/storage/objectStore.ts';
import { openStore } from '../../src/storage/openStore.ts';
import type { CommandLine } from './onTerminal.ts';
import { comes, ends, processState } from './patience.ts';
import { StorageFront } from './storageFront.ts';
import { TcpProxy } from './tcpProxy.ts';

/** Our processes run from the build, as users run them: starting them is quick, and threads find their modules. */
const built = (path: string): string => new URL(`../../dist/${path}`, import.meta.url).href;

export interface Answer {
  exit: number;
  /** The one document on stdout. */
  json: { ok: boolean; result?: Record<string, unknown>; error?: { code: string; message: string; hint: string } };
  stderr: string;
}

export interface ClusterOptions {
  storage: 'files' | 's3';
  /** Each process talks to Temporal and to the storage (s3) over lines of its own, which a test may break. */
  breakable?: boolean;
  /** Other than the default: small ones come in many requests. */
  pack?: { size: number; block: number };
  /** Of the s3 storage, as in the configuration file. */
  timeouts?: Record<string, string>;
  /** As in the configuration file. */
  lock?: Record<string, string>;
  /** Of Temporal's dynamic configuration. */
  temporal?: Record<string, number>;
  encryption?: Record<string, string>;
  more?: Record<string, unknown> | ((cluster: TestCluster) => Record<string, unknown>);
  /** When the roots are there and nothing runs yet. */
  before?: (cluster: TestCluster) => void;
  /** When nothing runs any more and its directory is still there. */
  after?: () => void;
  nodes?: string[];
  /** Which processes are started; all unless given. */
  started?: string[];
  /** Beside the process's own environment. */
  env?: (name: string) => Record<string, string>;
}

/** A whole cluster of real processes on this machine, each of which a test may kill and start again. */
export class TestCluster {
  readonly directory = mkdtempSync(join(tmpdir(), 'homarus-cluster-'));
  readonly nodes: string[];
  readonly #options: ClusterOptions;
  readonly #processes = new Map<string, StackProcess>();
  readonly configFile = join(this.directory, 'homarus.json');
  readonly #lines = new Map<string, TcpProxy>();
  #front: StorageFront | undefined;
  #temporal: TemporalServer | undefined;
  #s3: S3Server | undefined;
  #connection: Connection | undefined;
  #client: Client | undefined;
  #apiPort = 0;
  #starts = 0;

  private constructor(options: ClusterOptions) {
    this.#options = options;
    this.nodes = options.nodes ?? ['n1', 'n2', 'n3'];
  }

  static async start(options: ClusterOptions): Promise<TestCluster> {
    const cluster = new TestCluster(options);
    try {
      await cluster.#start();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  root(node: string): string {
    return join(this.directory, 'nodes', node);
  }

  get temporal(): TemporalServer {
    return this.#temporal as TemporalServer;
  }

  get s3(): S3Server {
    return this.#s3 as S3Server;
  }

  /** The line between a process and Temporal. */
  line(name: string): TcpProxy {
    return this.#lines.get(name) as TcpProxy;
  }

  /** Through which all processes, but not the commands of a test, talk to the storage. */
  get front(): StorageFront {
    return this.#front as StorageFront;
  }

  get api(): string {
    return `http://127.0.0.1:${this.#apiPort}`;
  }

  get client(): Client {
    return this.#client as Client;
  }

  process(name: string): StackProcess {
    return this.#processes.get(name) as StackProcess;
  }

  /** `coordinator` (or `coordinator-2`, …), `api`, or the id of a node. */
  async launch(name: string, env: Record<string, string> = {}): Promise<void> {
    const { startHomarus, ready } = (await import(
      built('cli/devStack.js')
    )) as typeof import('../../src/cli/devStack.ts');
    const isNode = this.nodes.includes(name);
    const args = isNode ? ['node', '--node', name] : [name.replace(/-\d+$/, '')];
    const child = startHomarus([...args, '--config', await this.#configOf(name)], {
      name,
      logFile: join(this.directory, `${name}.${++this.#starts}.log`),
      env: { ...this.#env, ...this.#options.env?.(name), ...env },
    });
    this.#processes.set(name, child);
    await ready(child, isNode ? 'node started' : name === 'api' ? 'facade started' : 'coordinator started');
  }

  /** Tells it to end, and waits until it has. */
  async shutDown(name: string): Promise<void> {
    const { endProcess } = (await import(built('cli/devStack.js'))) as typeof import('../../src/cli/devStack.ts');
    await endProcess(this.process(name));
  }

  /** Kills it as the system does when memory is short. */
  async kill(name: string): Promise<void> {
    const child = this.process(name);
    child.kill('SIGKILL');
    await child.exited;
  }

  async killTemporal(): Promise<void> {
    this.temporal.kill('SIGKILL');
    await this.temporal.exited;
  }

  /** Where it was. Without its database it knows nothing of what went before. */
  async startTemporalAgain({ database = true }: { database?: boolean } = {}): Promise<void> {
    if (!database) {
      for (const end of ['', '-shm', '-wal']) rmSync(`${this.#database}${end}`, { force: true });
    }
    await this.#startTemporal(this.temporal.ports);
  }

  async startS3Again(): Promise<void> {
    await this.#startS3(this.s3);
  }

  /** Temporal's own command line, as an operator has it. */
  async temporalCli(...args: string[]): Promise<string> {
    const { path } = await findServer('temporal', () => undefined);
    const { address, namespace } = this.temporal;
    const { stdout } = await promisify(execFile)(path, [...args, '--address', address, '--namespace', namespace]);
    return stdout;
  }

  /** What is locked: the storage and nodes, by the operation that holds them. All are free after every operation. */
  async locked(): Promise<Record<string, string>> {
    const { lock } = (await this.does('status')) as { lock: { holder: { operation: string } | null } };
    const leases = this.nodes.map((node) => {
      const path = join(this.directory, 'state', 'nodes', node, 'lease.json');
      // A node that was never locked has none yet.
      const lease = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
      return [node, lease?.holder?.operation] as const;
    });
    const all = [['storage', lock.holder?.operation] as const, ...leases];
    return Object.fromEntries(all.filter((one): one is [string, string] => one[1] !== undefined));
  }

  logOf(name: string): string {
    return readFileSync(this.process(name).logFile, 'utf8');
  }

  /** A command as an operator gives it, to be started. */
  commandLine(...args: string[]): CommandLine {
    return {
      program: process.execPath,
      args: [new URL(built('cli/main.js')).pathname, ...args],
      env: { ...process.env, ...this.#env, HOMARUS_CONFIG: this.configFile, USER: 'tester', SUDO_USER: '' },
    };
  }

  /** Starts a command as an operator does. */
  command(...given: string[]): ChildProcessByStdio<null, Readable, Readable> {
    const { program, args, env } = this.commandLine(...given);
    return spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Runs a command with `--json`. */
  async homarus(...args: string[]): Promise<Answer> {
    const child = this.command(...args, '--json');
    const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => stream.setEncoding('utf8').toArray());
    const exited = ends(
      () => `"homarus ${args.join(' ')}" to end; ${this.#states()}`,
      once(child, 'exit'),
      () => child.kill('SIGKILL'),
    );
    const [exit] = (await exited) as [number | null];
    const text = ((await stdout) ?? []).join('');
    return { exit: exit ?? -1, json: text ? JSON.parse(text) : { ok: false }, stderr: ((await stderr) ?? []).join('') };
  }

  /** A command that must succeed; answers its result. */
  async does(...args: string[]): Promise<Record<string, unknown>> {
    const { exit, json, stderr } = await this.homarus(...args);
    if (exit !== 0) throw new Error(`homarus ${args.join(' ')} ended with ${exit}: ${JSON.stringify(json)}\n${stderr}`);
    return json.result ?? {};
  }

  /** Starts an operation; answers its id. */
  async begins(...args: string[]): Promise<string> {
    return (await this.does(...args, '--no-wait')).operation as string;
  }

  status(id: string): Promise<OperationStatus> {
    return operationStatus(this.client, id);
  }

  /** Looks until it fits; fails when the operation ended before. */
  async until(id: string, fits: (status: OperationStatus) => boolean): Promise<OperationStatus> {
    const look = async (): Promise<OperationStatus | undefined> => {
      const status = await this.status(id);
      if (fits(status)) return status;
      if (status.state !== 'running') throw new Error(`${id} ended before: ${JSON.stringify(status)}`);
      return undefined;
    };
    return comes(() => `${id} to get that far; ${this.#states()}`, look, { every: 20 });
  }

  /** How an operation ended. Temporal may be away meanwhile. */
  async end(id: string): Promise<OperationStatus> {
    const look = async (): Promise<OperationStatus | undefined> => {
      const status = await this.status(id).catch(() => undefined);
      return status?.state === 'running' ? undefined : status;
    };
    return comes(() => `${id} to end; ${this.#states()}`, look, { every: 200 });
  }

  /** Wakes a process that was sent to sleep, or that sends itself: not before it sleeps. */
  async wake(name: string): Promise<void> {
    const child = this.process(name);
    await comes(
      () => `${name} to sleep; ${this.#states()}`,
      () => processState(child.pid).startsWith('T') || undefined,
    );
    child.kill('SIGCONT');
  }

  /** For messages. */
  #states(): string {
    const states = [...this.#processes].map(([name, { pid }]) => `${name} ${processState(pid) || 'gone'}`);
    return `processes: ${states.join(', ')}`;
  }

  async historyOf(id: string): Promise<unknown[]> {
    const { events } = await this.client.workflow.getHandle(id).fetchHistory();
    return events ?? [];
  }

  async stop(): Promise<void> {
    const { endProcess } = (await import(built('cli/devStack.js'))) as typeof import('../../src/cli/devStack.ts');
    await this.#connection?.close();
    for (const child of this.#processes.values()) child.kill('SIGCONT');
    await Promise.all([...this.#processes.values()].map(endProcess));
    await this.#front?.stop();
    for (const line of this.#lines.values()) await line.stop();
    await this.#temporal?.stop();
    await this.#s3?.stop();
    this.#options.after?.();
    if (!process.env.HOMARUS_KEEP) rmSync(this.directory, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    for (const node of this.nodes) mkdirSync(this.root(node), { recursive: true });
    this.#options.before?.(this);
    this.#apiPort = await freePort();
    await Promise.all([this.#startTemporal(), this.#options.storage === 's3' ? this.#startS3() : undefined]);
    writeFileSync(this.configFile, JSON.stringify(this.#config(), null, 2));
    const { client, connection } = await connectTemporal({
      namespace: this.temporal.namespace,
      connectionOptions: { address: this.temporal.address },
    });
    this.#client = client;
    this.#connection = connection;
    const { pack } = this.#options;
    if (pack) await this.#createRepository(pack);
    else await this.does('init');
    const names = this.#options.started ?? ['coordinator', ...this.nodes];
    await Promise.all(names.map((name) => this.launch(name)));
  }

  /** The storage, past the front. */
  async openStore(): Promise<ObjectStore> {
    Object.assign(process.env, this.#env);
    return openStore((await loadConfig(this.configFile)).storages.main!);
  }

  /** `init` has no option for it. */
  async #createRepository(pack: { size: number; block: number }): Promise<void> {
    const { main } = (await loadConfig(this.configFile)).storages;
    if (main!.type === 'files') mkdirSync(main!.path, { recursive: true });
    const store = await this.openStore();
    try {
      await createRepository(store, { cluster: 'east', pack, encryption: main!.encryption });
    } finally {
      await store.close();
    }
  }

  /** The configuration of one process: with lines of its own where they are breakable. */
  async #configOf(name: string): Promise<string> {
    if (!this.#options.breakable) return this.configFile;
    if (!this.#lines.has(name)) this.#lines.set(name, await TcpProxy.start(this.temporal.address));
    const config = this.#config();
    const { main } = config.storages;
    if (this.#s3) {
      this.#front ??= new StorageFront(this.s3.endpoint, '/backups/east/');
      Object.assign(main, { endpoint: await this.#front.endpoint(name) });
    }
    const file = join(this.directory, `homarus.${name}.json`);
    writeFileSync(file, JSON.stringify({ ...config, temporal: { address: this.line(name).address } }, null, 2));
    return file;
  }

  async #startTemporal(ports?: TemporalServer['ports']): Promise<void> {
    this.#temporal = await startTemporal({
      dbFilename: this.#database,
      logFile: join(this.directory, `temporal.${++this.#starts}.log`),
      report: () => undefined,
      settings: this.#options.temporal ?? {},
      ...(ports ? { ports } : {}),
    });
  }

  get #database(): string {
    return join(this.directory, 'temporal.db');
  }

  async #startS3(former?: S3Server): Promise<void> {
    const dir = join(this.directory, 's3');
    mkdirSync(dir, { recursive: true });
    const s3 = await startS3({
      dir,
      logFile: join(this.directory, 's3.log'),
      report: () => undefined,
      ...(former ? { port: former.port, keys: former } : {}),
    });
    this.#s3 = s3;
    if (former) return;
    const { endpoint, region, accessKeyId, secretAccessKey } = s3;
    const client = new S3Client({
      endpoint,
      region,
      credentials: { accessKeyId, secretAccessKey },
      forcePathStyle: true,
    });
    await client.send(new CreateBucketCommand({ Bucket: 'backups' }));
    client.destroy();
  }

  #config() {
    const { storage, lock, encryption, more, timeouts } = this.#options;
    const s3 = this.#s3;
    const main =
      storage === 'files' || !s3
        ? { type: 'files', path: join(this.directory, 'storage') }
        : {
            type: 's3',
            bucket: 'backups',
            prefix: 'east',
            region: s3.region,
            endpoint: s3.endpoint,
            pathStyle: true,
            credentials: { accessKeyIdEnv: 'TEST_S3_ID', secretAccessKeyEnv: 'TEST_S3_KEY' },
            ...(timeouts ? { timeouts } : {}),
          };
    return {
      cluster: 'east',
      temporal: { address: this.temporal.address },
      storages: { main: { ...main, ...(encryption ? { encryption } : {}) } },
      nodes: this.nodes.map((id, place) => ({ id, az: `az-${place + 1}`, root: this.root(id) })),
      dataDir: join(this.directory, 'state'),
      api: { port: this.#apiPort },
      ...(lock ? { lock } : {}),
      ...(typeof more === 'function' ? more(this) : more),
    };
  }

  get #env(): Record<string, string> {
    const s3 = this.#s3;
    return s3 ? { TEST_S3_ID: s3.accessKeyId, TEST_S3_KEY: s3.secretAccessKey } : {};
  }
}
