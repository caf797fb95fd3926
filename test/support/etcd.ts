import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Etcd3 } from 'etcd3';
import type { EtcdAccess } from '../../src/plugins/etcd/options.ts';
import { launch, type Running, untilReady } from '../../src/servers/process.ts';
import { findServer, freePort } from '../../src/servers.ts';

const LOOPBACK = 'http://127.0.0.1';

interface Member {
  name: string;
  directory: string;
  endpoint: string;
  peer: string;
  running: Running;
}

/** A real etcd cluster on this machine, whose members a test may kill and start again. */
export class EtcdCluster {
  readonly directory = mkdtempSync(join(tmpdir(), 'homarus-etcd-'));
  readonly #members: Member[] = [];
  readonly #extra: string[];
  #path = '';
  client!: Etcd3;

  private constructor(extra: string[]) {
    this.#extra = extra;
  }

  static async start(members: number, options: { path?: string; extra?: string[] } = {}): Promise<EtcdCluster> {
    const cluster = new EtcdCluster(options.extra ?? []);
    cluster.#path = options.path ?? (await findServer('etcd', () => undefined)).path;
    try {
      for (let number = 1; number <= members; number++) {
        const name = `m${number}`;
        const directory = join(cluster.directory, name);
        mkdirSync(directory, { mode: 0o700 });
        const [endpoint, peer] = [`${LOOPBACK}:${await freePort()}`, `${LOOPBACK}:${await freePort()}`];
        cluster.#members.push({ name, directory, endpoint, peer, running: undefined as unknown as Running });
      }
      await Promise.all(cluster.#members.map((member) => cluster.#launch(member)));
      cluster.client = new Etcd3({
        hosts: cluster.endpoints,
        grpcOptions: { 'grpc.max_receive_message_length': -1 },
        defaultCallOptions: () => ({ deadline: Date.now() + 20_000 }),
      });
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  get endpoints(): string[] {
    return this.#members.map(({ endpoint }) => endpoint);
  }

  /** As a plugin's options would have it, with little patience. */
  get access(): EtcdAccess {
    return { endpoints: this.endpoints, timeouts: { request: 3_000, retryFor: 60_000 } };
  }

  async kill(member: number): Promise<void> {
    const { running } = this.#members[member]!;
    running.kill('SIGKILL');
    await running.exited;
  }

  startAgain(member: number): Promise<void> {
    return this.#launch(this.#members[member]!);
  }

  async stop(): Promise<void> {
    this.client?.close();
    await Promise.all(this.#members.map(({ running }) => running?.stop()));
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #launch(member: Member): Promise<void> {
    const { name, directory, endpoint, peer } = member;
    const logFile = join(this.directory, `${name}.log`);
    member.running = launch(
      this.#path,
      [
        ...['--name', name, '--data-dir', join(directory, 'data'), '--logger', 'zap', '--log-level', 'warn'],
        ...['--listen-client-urls', endpoint, '--advertise-client-urls', endpoint],
        ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
        ...['--initial-cluster', this.#members.map((one) => `${one.name}=${one.peer}`).join(',')],
        ...['--initial-cluster-state', 'new', '--unsafe-no-fsync', ...this.#extra],
      ],
      { logFile },
    );
    await untilReady(`etcd ${name}`, member.running, logFile, async () => {
      const { ok } = await fetch(`${endpoint}/health`, { signal: AbortSignal.timeout(2_000) });
      if (!ok) throw new Error('not healthy yet');
    });
  }
}
