import { userInfo } from 'node:os';
import type { Client, Connection } from '@temporalio/client';
import type { Reading } from '../client/reading.ts';
import { openReading } from '../client/reading.ts';
import type { Config } from '../config.ts';
import { findConfigFile, loadConfig } from '../config.ts';
import type { ObjectStore } from '../storage/objectStore.ts';
import type { StorageSettings } from '../storage/openStore.ts';
import { openStore } from '../storage/openStore.ts';
import { storageNamed } from '../workers/settings.ts';
import type { Output } from './output.ts';
import type { Terminal } from './terminal.ts';

/** What a command has at hand: opened when it is first asked for, closed at the end. */
export class Context {
  readonly terminal: Terminal;
  readonly output: Output;
  readonly #given: string | undefined;
  #config: Promise<Config> | undefined;
  #connected: Promise<{ client: Client; connection: Connection }> | undefined;
  readonly #stores: ObjectStore[] = [];
  #interruption: AbortController | undefined;

  /** `configFile`: as given on the command line. */
  constructor(terminal: Terminal, output: Output, configFile: string | undefined) {
    this.terminal = terminal;
    this.output = output;
    this.#given = configFile;
  }

  configFile(): string {
    return findConfigFile(this.#given, this.terminal.env, process.cwd());
  }

  config(): Promise<Config> {
    const loading = this.#config ?? loadConfig(this.configFile());
    this.#config = loading;
    return loading;
  }

  async storageName(name: string | undefined): Promise<string> {
    return storageNamed(await this.config(), name).name;
  }

  async storage(name: string | undefined): Promise<StorageSettings> {
    return storageNamed(await this.config(), name).settings;
  }

  /** A repository and its present root; `ForeignRepository` when it is another cluster's, unless `anyCluster`. */
  async reading(name: string | undefined, { anyCluster = false } = {}): Promise<Reading> {
    const { cluster } = await this.config();
    const settings = await this.storage(name);
    const store = await openStore(settings);
    this.#stores.push(store);
    const reading = await openReading(store, anyCluster ? undefined : cluster, settings.encryption);
    const owner = reading.repository.parameters.cluster;
    if (owner !== cluster) this.output.note(`note: ${store.description} holds the repository of cluster ${owner}`);
    return reading;
  }

  async client(): Promise<Client> {
    this.#connected ??= this.#connect();
    return (await this.#connected).client;
  }

  /** Where Temporal is, for people. */
  async temporal(): Promise<{ address: string; namespace: string }> {
    const { temporalTarget } = await import('../temporalTarget.ts');
    const { namespace, connectionOptions } = temporalTarget(await this.config());
    return { namespace, address: connectionOptions.address ?? 'localhost:7233' };
  }

  /** Aborted by the next Ctrl-C, from now on; one after that, unless this is asked for again, ends the process as ever. */
  interruption(): AbortSignal {
    if (this.#interruption === undefined || this.#interruption.signal.aborted) {
      const next = new AbortController();
      this.#interruption = next;
      process.once('SIGINT', () => next.abort());
    }
    return this.#interruption.signal;
  }

  /** Who asks, for people. */
  get who(): string {
    const { USER, SUDO_USER } = this.terminal.env;
    return SUDO_USER || USER || userInfo().username;
  }

  now(): Date {
    return new Date();
  }

  async close(): Promise<void> {
    await Promise.allSettled([
      ...this.#stores.map((store) => store.close()),
      this.#connected?.then(({ connection }) => connection.close()),
    ]);
  }

  async #connect(): Promise<{ client: Client; connection: Connection }> {
    // The client is slow to load, and reading a storage needs none.
    const { connectTemporal } = await import('../client/connect.ts');
    const { temporalTarget } = await import('../temporalTarget.ts');
    return connectTemporal(temporalTarget(await this.config()));
  }
}
