import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Etcd3, type IOptions, Range } from 'etcd3';
import type { EtcdAccess } from '../../src/plugins/etcd/options.ts';
import { launch, type Running, untilReady } from '../../src/servers/process.ts';
import { findServer, freePort } from '../../src/servers.ts';

const LOOPBACK = '127.0.0.1';

interface Options {
  /** Of another etcd than ours. */
  path?: string;
  /** Clients and servers show certificates to each other. */
  tls?: boolean;
  /** What a member begins with: its database in a file, as etcdutl takes it. */
  snapshot?: string;
}

interface Member {
  name: string;
  directory: string;
  endpoint: string;
  peer: string;
  /** Answers without TLS. */
  health: string;
  running: Running;
}

/** A real etcd cluster on this machine, whose members a test may kill and start again. */
export class EtcdCluster {
  readonly directory = mkdtempSync(join(tmpdir(), 'homarus-etcd-'));
  readonly #members: Member[] = [];
  readonly #tls: boolean;
  readonly #isOurs: boolean;
  #path = '';
  client!: Etcd3;

  private constructor({ tls = false, path }: Options) {
    this.#tls = tls;
    this.#isOurs = path === undefined;
  }

  static async start(members: number, options: Options = {}): Promise<EtcdCluster> {
    const cluster = new EtcdCluster(options);
    cluster.#path = options.path ?? (await findServer('etcd', () => undefined)).path;
    try {
      for (let number = 1; number <= members; number++) {
        const name = `m${number}`;
        const directory = join(cluster.directory, name);
        mkdirSync(directory, { mode: 0o700 });
        const endpoint = `${options.tls ? 'https' : 'http'}://${LOOPBACK}:${await freePort()}`;
        const [peer, health] = [`http://${LOOPBACK}:${await freePort()}`, `http://${LOOPBACK}:${await freePort()}`];
        const running = undefined as unknown as Running;
        cluster.#members.push({ name, directory, endpoint, peer, health, running });
      }
      if (options.tls) cluster.#makeCertificate();
      if (options.snapshot !== undefined) await cluster.#beginWith(options.snapshot);
      await Promise.all(cluster.#members.map((member) => cluster.#launch(member)));
      cluster.client = cluster.#connect();
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
    const { caFile, certFile, keyFile } = this.certificate;
    return {
      endpoints: this.endpoints,
      timeouts: { request: 3_000, retryFor: 60_000 },
      ...(this.#tls ? { tls: { caFile, certFile, keyFile } } : {}),
    };
  }

  /** One for all: its own authority, the servers' and the client's. */
  get certificate(): { caFile: string; certFile: string; keyFile: string } {
    const [certFile, keyFile] = ['cert.pem', 'key.pem'].map((name) => join(this.directory, name)) as [string, string];
    return { caFile: certFile, certFile, keyFile };
  }

  /** The member that leads. */
  async leader(): Promise<number> {
    for (let number = 0; ; number = (number + 1) % this.#members.length) {
      const client = this.#connect({ hosts: [this.endpoints[number] as string] });
      const { leader, header } = await client.maintenance.status().finally(() => client.close());
      if (leader === header.member_id) return number;
    }
  }

  /** From now on a password is needed: `name` may read and write these prefixes, and `client` is root. */
  async requirePasswords(name: string, password: string, prefixes: string[]): Promise<void> {
    const { client } = this;
    const rights = client.role('backup');
    await rights.create();
    for (const prefix of prefixes) await rights.grant({ permission: 'Readwrite', range: Range.prefix(prefix) });
    const user = client.user(name);
    await user.create(password);
    await user.addRole('backup');
    await client.role('root').create();
    const root = client.user('root');
    await root.create('root');
    await root.addRole('root');
    await client.auth.authEnable();
    client.close();
    this.client = this.#connect({ auth: { username: 'root', password: 'root' } });
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

  #makeCertificate(): void {
    const { certFile, keyFile } = this.certificate;
    const subject = ['-subj', '/CN=etcd', '-addext', `subjectAltName=IP:${LOOPBACK}`];
    const files = ['-keyout', keyFile, '-out', certFile];
    const kind = ['-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1'];
    execFileSync('openssl', ['req', ...kind, ...files, ...subject], { stdio: 'ignore' });
  }

  async #beginWith(snapshot: string): Promise<void> {
    const { path } = await findServer('etcdutl', () => undefined);
    const [{ name, directory, peer }] = this.#members as [Member];
    const place = ['--data-dir', join(directory, 'data'), '--name', name];
    const peers = ['--initial-cluster', `${name}=${peer}`, '--initial-advertise-peer-urls', peer];
    execFileSync(path, ['snapshot', 'restore', snapshot, ...place, ...peers], { stdio: 'pipe' });
  }

  #connect(options: Partial<IOptions> = {}): Etcd3 {
    const { certFile, keyFile } = this.certificate;
    const [cert, key] = this.#tls ? [readFileSync(certFile), readFileSync(keyFile)] : [];
    return new Etcd3({
      hosts: this.endpoints,
      ...(cert && key ? { credentials: { rootCertificate: cert, certChain: cert, privateKey: key } } : {}),
      grpcOptions: { 'grpc.max_receive_message_length': -1 },
      defaultCallOptions: () => ({ deadline: Date.now() + 20_000 }),
      ...options,
    });
  }

  async #launch(member: Member): Promise<void> {
    const { name, directory, endpoint, peer, health } = member;
    const { caFile, certFile, keyFile } = this.certificate;
    const logFile = join(this.directory, `${name}.log`);
    member.running = launch(
      this.#path,
      [
        ...['--name', name, '--data-dir', join(directory, 'data'), '--logger', 'zap', '--log-level', 'warn'],
        ...['--listen-client-urls', endpoint, '--advertise-client-urls', endpoint],
        ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
        ...['--initial-cluster', this.#members.map((one) => `${one.name}=${one.peer}`).join(',')],
        ...['--initial-cluster-state', 'new', '--listen-metrics-urls', health],
        // Older ones do not know it.
        ...(this.#isOurs ? ['--unsafe-no-fsync'] : []),
        ...(this.#tls
          ? ['--cert-file', certFile, '--key-file', keyFile, '--client-cert-auth', '--trusted-ca-file', caFile]
          : []),
      ],
      { logFile },
    );
    await untilReady(`etcd ${name}`, member.running, logFile, async () => {
      const { ok } = await fetch(`${health}/health`, { signal: AbortSignal.timeout(2_000) });
      if (!ok) throw new Error('not healthy yet');
    });
  }
}
