import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createControlActivities } from '../../src/activities/control.ts';
import { createCoordinatorActivities } from '../../src/activities/coordinator.ts';
import type { Liveness } from '../../src/activities/liveness.ts';
import type { NodeJobs } from '../../src/activities/node.ts';
import { createNodeActivities } from '../../src/activities/node.ts';
import { NodePlugin } from '../../src/activities/plugin.ts';
import type { RootDocument } from '../../src/domain/documents.ts';
import { keys } from '../../src/domain/documents.ts';
import type { AttemptId, ClusterSettings, StorageGrant } from '../../src/domain/operations.ts';
import { clean } from '../../src/node/cleaner.ts';
import { drill, dropScratch } from '../../src/node/drill.ts';
import { estimate } from '../../src/node/estimate.ts';
import { finish } from '../../src/node/finish.ts';
import { incarnationOf, processDirectory } from '../../src/node/identity.ts';
import { NodeLease } from '../../src/node/lease.ts';
import { previewNode, restoreNode } from '../../src/node/restoreNode.ts';
import type { NodeSettings } from '../../src/node/settings.ts';
import { snapshot } from '../../src/node/snapshot.ts';
import { upload } from '../../src/node/uploader.ts';
import { verifyPacks } from '../../src/node/verifyPacks.ts';
import { workDirectory } from '../../src/node/workDirectory.ts';
import { ALL_FILES } from '../../src/plugins/fileOptions.ts';
import { files } from '../../src/plugins/files/flow.ts';
import { createRepository } from '../../src/storage/create.ts';
import { ledTo } from '../../src/storage/garbage.ts';
import type { ObjectStore } from '../../src/storage/objectStore.ts';
import type { Repository, RepositoryParameters } from '../../src/storage/repository.ts';
import { openRepository, readAnew } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import { SeenRoots } from '../../src/storage/seen.ts';
import { unlockedBy } from '../../src/storage/unlock.ts';
import { verifyStored } from '../../src/storage/verify.ts';
import { prepareRoots } from '../../src/workers/nodeJobs.ts';
import { notesIn } from '../../src/workers/notes.ts';
import { encrypted } from '../storage/given.ts';
import { givenNode } from '../support/backUp.ts';
import { ownThreadContext } from '../support/ownThread.ts';
import { compareTrees } from '../support/trees.ts';
import type { Generation } from './generations.ts';
import { edit, nodeIds, pristineOf } from './generations.ts';
import type { Life } from './life.ts';

/** A cluster of two nodes small enough to be stopped thousands of times: its processes, without Temporal, in one. */

const parameters: Pick<RepositoryParameters, 'chunker' | 'pack'> = {
  chunker: { kind: 'fixed', size: 16_384, minimum: 4_096, inline: 128 },
  pack: { size: 40_000, block: 16_384 },
};
export const TTL = 60_000;

/** Answers of the steps of an operation that ended: as Temporal's history, they survive every process. */
export type History = Map<string, unknown>;

const noSignal = new AbortController().signal;
/** Temporal, to an activity: nobody is cancelled here. */
const liveness = { run: (_: unknown, body: (signal: AbortSignal) => unknown) => body(noSignal) } as unknown as Liveness;

export class SmallCluster {
  readonly #base: string;
  readonly #directory: string;
  readonly #open: (life: Life | undefined) => ObjectStore;
  readonly nodes: NodeSettings[];
  #repository!: Repository;
  readonly #began = Date.now();
  #hours = 0;
  #operations = 0;
  #starts = 0;

  /** `base` holds the pristine trees, `directory` is the cluster's own; `open` opens the storage for a life. */
  constructor(base: string, directory: string, open: (life: Life | undefined) => ObjectStore) {
    this.#base = base;
    this.#directory = directory;
    this.#open = open;
    this.nodes = nodeIds.map((id) => givenNode(directory, id));
  }

  async init({ isEncrypted = false } = {}): Promise<void> {
    const options = { cluster: 'east', ...parameters, ...(isEncrypted ? encrypted : {}) };
    const { repository } = await createRepository(this.#open(undefined), options);
    this.#repository = repository;
    for (const { id, roots } of this.nodes) {
      rmSync(roots[0]!.path, { recursive: true });
      execFileSync('cp', ['-a', pristineOf(this.#base, 'g1', id), roots[0]!.path]);
    }
  }

  edit(generation: Generation): void {
    for (const { roots } of this.nodes) edit(roots[0]!.path, generation);
  }

  /** What goes wrong with files: there are others, too many, too few. */
  damage(): void {
    for (const { roots } of this.nodes) {
      const root = roots[0]!.path;
      rmSync(join(root, 'dir'), { recursive: true });
      writeFileSync(join(root, 'twin'), 'cut short');
      writeFileSync(join(root, 'own'), Buffer.alloc(100, 'another'));
      rmSync(join(root, 'link'));
      mkdirSync(join(root, 'link'));
      writeFileSync(join(root, 'link', 'extra'), 'in the way');
      chmodSync(join(root, 'moved'), 0o600);
    }
  }

  /** As when nobody did anything for longer than a lock lasts. */
  pass(): void {
    this.#hours++;
  }

  /** Stands still between: whoever runs the tests may sleep. */
  readonly now = (): number => this.#began + this.#hours * 2 * TTL;

  newAttempt(kind: AttemptId['kind'], operation = `${kind}-${++this.#operations}`): AttemptId {
    const run = `${operation}/${++this.#operations}`;
    return { operation, run, kind, by: 'test', since: new Date(this.now()).toISOString() };
  }

  repository(life?: Life): Repository {
    const store = { ...bound(this.#open(life)), now: async () => this.now() };
    const { unlocked: keys, ...repository } = readAnew(this.#repository);
    if (!keys) return { ...repository, store };
    // As who has just opened it: data keys are read with the root.
    const unlocked = unlockedBy(keys.repository, keys.slot, {
      master: Buffer.from(keys.master),
      parameters: Buffer.from(keys.parameters),
    });
    return { ...repository, store, unlocked, sealing: { ...repository.sealing, keys: unlocked.keys } };
  }

  /** Starts all processes of the cluster. */
  start(life: Life): Processes {
    const repository = this.repository(life);
    const settings: ClusterSettings = {
      cluster: 'east',
      storage: 'main',
      nodes: this.nodes.map(({ id, az }) => ({ id, az })),
      plugin: 'files',
      lock: { ttl: TTL, refresh: 10_000, heartbeat: 30_000 },
      attempts: 3,
      allowMissing: 0,
      notifies: false,
    };
    // A process that is not this one: once it is stopped it does not live any more.
    const process = { pid: 2 ** 30, started: `${++this.#starts}`, host: hostname() };
    const directory = processDirectory(this.#coordinatorWork, process);
    const rewrite = { maxUnused: 0.05, maxRepackBytes: null };
    const coordinator = createCoordinatorActivities({
      settings: () => settings,
      cleanUp: (input) =>
        clean(repository, { ...input, retention: {}, rewrite, directory, now: Date.now() }, ownThreadContext()),
      notifications: [],
      drillDirectory: join(this.#directory, 'drill'),
      repository: async () => repository,
      liveness,
      seen: new SeenRoots(join(this.#directory, 'coordinator')),
      directory,
      log: () => undefined,
    });
    return {
      repository,
      directory,
      coordinator,
      settings,
      nodes: new Map(this.nodes.map((node) => [node.id, this.#startNode(node, repository)])),
    };
  }

  #startNode(node: NodeSettings, repository: Repository) {
    const context = ownThreadContext();
    const clocks = { monotonic: this.now, wall: this.now };
    const lease = new NodeLease(node.stateDir, node.id, { clocks });
    prepareRoots({ ...node, host: '' } as never, lease.holder?.operation);
    const incarnation = incarnationOf(
      node.stateDir,
      node.roots.map(({ linkDir }) => linkDir),
    );
    const attemptOf = ({ attempt, epoch }: StorageGrant) => ({ operation: attempt.operation, epoch });
    const jobs: NodeJobs = {
      snapshot: ({ storage }) =>
        snapshot(
          repository,
          {
            ...attemptOf(storage),
            root: storage.root,
            node,
            host: 'test',
            select: { include: [], exclude: [] },
            onUnreadable: 'fail',
          },
          context,
        ),
      estimate: ({ operation }) =>
        estimate(repository, { operation, node, select: { include: [], exclude: [] }, onUnreadable: 'fail' }, context),
      upload: ({ storage, wanted }) => {
        const attempt = attemptOf(storage);
        const work = workDirectory(node.stateDir, attempt);
        return upload(
          repository,
          { ...attempt, node: node.id, stateDir: node.stateDir, wanted, workDirectory: work },
          context,
        );
      },
      restore: ({ backup, ...work }) => restoreNode(repository, { ...work, node, backup: backup.name }, context),
      preview: ({ backup, ...work }) => previewNode(repository, { ...work, node, backup: backup.name }, context),
      drill: ({ backup, ...work }) => drill(repository, { ...work, node, backup: backup.name }, context),
      endDrill: () => dropScratch(node.stateDir),
      verifyPacks: (work) => verifyPacks(repository, work, context),
    };
    const deps = { node: node.id, host: 'test', incarnation, lease, liveness };
    const plugin = new NodePlugin({
      plugin: { flow: files, options: {}, selection: ALL_FILES, module: { activities: {} } },
      ...{ cluster: 'east', node, notes: notesIn(node.stateDir, 'files'), log: () => undefined },
    });
    return {
      lease,
      work: createNodeActivities({ ...deps, jobs, plugin }),
      control: createControlActivities({
        ...deps,
        plugin: plugin.version,
        refuseRivals: async () => undefined,
        refreshMs: 10_000,
        finish: async ({ operation }, committed) => finish({ node, operation, committed }),
        log: () => undefined,
      }),
    };
  }

  get #coordinatorWork(): string {
    return join(this.#directory, 'coordinator-work');
  }

  /** What is wrong: with a listed backup, or with what the root leads to. */
  async faults(): Promise<string[]> {
    const repository = this.repository();
    const at = await presentRoot(repository);
    const directory = join(this.#directory, 'verify');
    mkdirSync(directory, { recursive: true });
    const verified = await verifyStored(repository, { operation: 'check', packs: [] }, { directory });
    const faults = verified.first.map((damage) => `verify finds ${JSON.stringify(damage)}`);
    if (verified.damagedBackups > 0) faults.push(`verify finds ${verified.damagedBackups} backups damaged`);
    faults.push(...(await slotFaults(repository, at.root)));
    for (const { name, label } of at.root.backups) {
      for (const node of this.nodes) {
        const target = join(this.#directory, 'restored', node.id);
        const roots = [{ ...node.roots[0]!, path: target, linkDir: join(target, '.homarus') }];
        const stateDir = join(this.#directory, 'restored-state');
        const input = { operation: 'check', node: { id: node.id, roots, stateDir }, backup: name, from: node.id };
        try {
          await restoreNode(repository, { ...input, paths: [], to: null, verifyExisting: false }, ownThreadContext());
          const pristine = pristineOf(this.#base, label as Generation, node.id);
          faults.push(...compareTrees(pristine, target).map((text) => `${name} (${label}), ${node.id}: ${text}`));
        } catch (error) {
          faults.push(`${name} (${label}), ${node.id}: ${error}`);
        }
        rmSync(join(this.#directory, 'restored'), { recursive: true, force: true });
      }
    }
    rmSync(join(this.#directory, 'restored-state'), { recursive: true, force: true });
    return faults;
  }

  /** What differs between the roots and what they held when they were backed up. */
  differences(generation: Generation): string[] {
    return this.nodes.flatMap(({ id, roots }) =>
      compareTrees(pristineOf(this.#base, generation, id), roots[0]!.path).map((text) => `${id}: ${text}`),
    );
  }

  /** What nobody needs any more: in the storage, and beside the data on the machines. */
  async garbage(): Promise<string[]> {
    const repository = this.repository();
    const { root } = await presentRoot(repository);
    const led = await ledTo(repository, root);
    const garbage: string[] = [];
    const slots = (root.keys?.slots ?? []).map(keys.slot);
    for await (const { key } of repository.store.list('')) {
      const known =
        ['repository.json', keys.lease(root.epoch), ...slots].includes(key) || /^(roots|keys\/generation)/.test(key);
      if (!known && !led.has(key)) garbage.push(key);
    }
    const expect = (directory: string, names: RegExp): void => {
      for (const name of namesIn(directory)) if (!names.test(name)) garbage.push(join(directory, name));
    };
    expect(this.#coordinatorWork, new RegExp(`-${this.#starts}-`));
    for (const name of namesIn(this.#coordinatorWork)) expect(join(this.#coordinatorWork, name), /^$/);
    expect(join(this.#directory, 'coordinator'), /^seen$/);
    expect(join(this.#directory, 'coordinator', 'seen'), /^\w{32}\.json$/);
    for (const { stateDir, roots } of this.nodes) {
      expect(roots[0]!.linkDir, /^(incarnation\.json|restoring)$/);
      expect(stateDir, /^(incarnation\.json|lease\.json|work|retained|seen)$/);
      expect(join(stateDir, 'work'), /^$/);
      expect(join(stateDir, 'seen'), /^\w{32}\.json$/);
      const retained = join(stateDir, 'retained', this.#repository.parameters.id);
      const newest = root.backups.toSorted((a, b) => b.epoch - a.epoch)[0]!;
      expect(retained, new RegExp(`^(data\\.json|data~${newest.id})$`));
    }
    return garbage.map((name) => name.replace(`${this.#directory}/`, ''));
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

export interface Processes {
  /** As the coordinator sees it, and where it may put files. */
  repository: Repository;
  directory: string;
  coordinator: ReturnType<typeof createCoordinatorActivities>;
  settings: ClusterSettings;
  nodes: Map<
    string,
    {
      lease: NodeLease;
      work: ReturnType<typeof createNodeActivities>;
      control: ReturnType<typeof createControlActivities>;
    }
  >;
}

/** Key slots that count and are not there, or do not open. */
async function slotFaults({ store }: Repository, root: RootDocument): Promise<string[]> {
  if (!root.keys) return [];
  try {
    await openRepository(store, encrypted);
    const listed = await Promise.all(root.keys.slots.map(async (id) => ({ id, is: await store.stat(keys.slot(id)) })));
    return listed.filter(({ is }) => is === undefined).map(({ id }) => `key slot ${id} counts and is gone`);
  } catch (error) {
    return [`it does not open: ${error}`];
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** An object with the same methods, that others may be put beside. */
function bound(store: ObjectStore): ObjectStore {
  return {
    description: store.description,
    create: store.create.bind(store),
    overwrite: store.overwrite.bind(store),
    read: store.read.bind(store),
    stat: store.stat.bind(store),
    list: store.list.bind(store),
    remove: store.remove.bind(store),
    removeUnfinished: store.removeUnfinished.bind(store),
    now: store.now.bind(store),
    close: store.close.bind(store),
  };
}
