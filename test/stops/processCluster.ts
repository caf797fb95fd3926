import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StackProcess } from '../../src/cli/devStack.ts';
import { keys } from '../../src/domain/documents.ts';
import { ledTo } from '../../src/storage/garbage.ts';
import { openStore } from '../../src/storage/openStore.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { openRepository } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import type { ClusterOptions } from '../support/cluster.ts';
import { TestCluster } from '../support/cluster.ts';
import { comes, processState } from '../support/patience.ts';
import { compareTrees } from '../support/trees.ts';
import type { Order } from './preload.ts';

/** A cluster of real processes that stop themselves where a test wants (`preload.ts`). */
export class ProcessCluster {
  readonly cluster: TestCluster;
  readonly #repository: Repository;
  readonly #orders: string;

  private constructor(cluster: TestCluster, repository: Repository, orders: string) {
    this.cluster = cluster;
    this.#repository = repository;
    this.#orders = orders;
  }

  /** `orders`: a directory for what is said to the processes. */
  static async start(orders: string, options: Omit<ClusterOptions, 'storage'>): Promise<ProcessCluster> {
    const preload = new URL('./preload.ts', import.meta.url).href;
    const cluster = await TestCluster.start({
      ...options,
      storage: 's3',
      env: (name) => ({
        NODE_OPTIONS: `--import ${preload} --disable-warning=ExperimentalWarning`,
        HOMARUS_STOP: join(orders, name),
      }),
    });
    const { endpoint, region, accessKeyId, secretAccessKey } = cluster.s3;
    const credentials = join(orders, 'credentials.json');
    writeFileSync(credentials, JSON.stringify({ accessKeyId, secretAccessKey }));
    const place = { bucket: 'backups', prefix: 'east', endpoint, region, pathStyle: true };
    const store = await openStore({ type: 's3', ...place, credentials: { file: credentials } });
    return new ProcessCluster(cluster, await openRepository(store), orders);
  }

  get repository(): Repository {
    return this.#repository;
  }

  /** Gives a process its order; answers what it changed since the last one. */
  async order(name: string, order: Order): Promise<number> {
    const file = join(this.#orders, name);
    for (const old of ['taken', 'hit']) rmSync(`${file}.${old}`, { force: true });
    writeFileSync(file, JSON.stringify(order));
    this.cluster.process(name).kill('SIGUSR2');
    // Written at once, but seen before it is.
    const text = await comes(
      () => `${name} to take its order; it is ${processState(this.cluster.process(name).pid) || 'gone'}`,
      () => (existsSync(`${file}.taken`) && readFileSync(`${file}.taken`, 'utf8')) || undefined,
      { every: 10 },
    );
    return Number(text);
  }

  /** After this a process runs, and has no order: whatever came of the one it had. */
  async pardon(name: string): Promise<void> {
    this.cluster.process(name).kill('SIGCONT');
    await this.order(name, { signal: 'SIGKILL' });
  }

  /** What the process stopped before, once it has. */
  hit(name: string): string | undefined {
    const file = join(this.#orders, `${name}.hit`);
    return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
  }

  /** Waits until the process has stopped where it should, or the operation has ended. True when it has stopped. */
  async stopped(name: string, operation: string): Promise<boolean> {
    let exited = false;
    const child: StackProcess = this.cluster.process(name);
    void child.exited.then(() => {
      exited = true;
    });
    return comes(
      () => `${name} to stop, or ${operation} to end`,
      async () => {
        if (exited || this.hit(name) !== undefined) return true;
        const { state } = await this.cluster.status(operation);
        return state === 'running' ? undefined : false;
      },
    );
  }

  /** Keeps what the nodes hold, to compare with the backup of this name. */
  keep(copies: string, backup: string): void {
    for (const node of this.cluster.nodes) {
      const copy = join(copies, `${backup}-${node}`);
      rmSync(copy, { recursive: true, force: true });
      execFileSync('cp', ['-a', this.cluster.root(node), copy]);
    }
  }

  /** Extracts the listed backups of every node, or the newest few, and compares. */
  async faults(copies: string, most?: number): Promise<string[]> {
    const { backups } = (await this.cluster.does('list')) as { backups: { name: string }[] };
    const faults: string[] = [];
    for (const { name } of backups.slice(0, most)) {
      for (const node of this.cluster.nodes) {
        const copy = join(copies, `${name}-${node}`);
        const to = join(this.cluster.directory, 'extracted');
        await this.cluster.does('extract', name, '--node', node, '--to', to);
        faults.push(...compareTrees(copy, to).map((text) => `${name}, ${node}: ${text}`));
        rmSync(to, { recursive: true, force: true });
      }
    }
    return faults;
  }

  /** What nobody needs any more, in the storage and beside the data. */
  async garbage(): Promise<string[]> {
    const { root } = await presentRoot(this.#repository);
    const led = await ledTo(this.#repository, root);
    const garbage: string[] = [];
    for await (const { key } of this.#repository.store.list('')) {
      const known = key === 'repository.json' || key.startsWith('roots/') || key === keys.lease(root.epoch);
      if (!known && !led.has(key)) garbage.push(key);
    }
    const state = join(this.cluster.directory, 'state');
    const coordinators = readdirSync(join(state, 'work'));
    if (coordinators.length > 1) garbage.push(...coordinators);
    for (const name of coordinators) garbage.push(...readdirSync(join(state, 'work', name)));
    for (const node of this.cluster.nodes) {
      const beside = readdirSync(join(this.cluster.root(node), '.homarus'));
      garbage.push(...beside.filter((name) => !/^(incarnation\.json|restoring)$/.test(name)));
    }
    return garbage;
  }

  async stop(): Promise<void> {
    await this.#repository.store.close();
    await this.cluster.stop();
  }
}
