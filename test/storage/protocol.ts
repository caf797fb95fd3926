import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BackupEntry, IndexRef, ManifestNode, RootDocument } from '../../src/domain/documents.ts';
import { keys, padded } from '../../src/domain/documents.ts';
import { hasCode } from '../../src/domain/errors.ts';
import type {
  AttemptId,
  PlanReceipt,
  SnapshotReceipt,
  StorageGrant,
  UploadReceipt,
} from '../../src/domain/operations.ts';
import { readManifest } from '../../src/storage/backups.ts';
import { ChunkIndex } from '../../src/storage/chunkIndex.ts';
import { cleanUp } from '../../src/storage/cleanUp.ts';
import { commitBackup } from '../../src/storage/commitBackup.ts';
import { acquireLock, releaseLock } from '../../src/storage/lock.ts';
import type { PackRef } from '../../src/storage/pack.ts';
import { ENTRY_BYTES, readEntry } from '../../src/storage/pack.ts';
import { CHUNK_RECORD_BYTES } from '../../src/storage/plan.ts';
import { planBackup } from '../../src/storage/planBackup.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { readAnew } from '../../src/storage/repository.ts';
import { presentRoot, readRoot } from '../../src/storage/roots.ts';
import { readStaged, stageJson, stageRecords } from '../../src/storage/staging.ts';
import { removeStaging } from '../../src/storage/sweep.ts';
import { pageOf, TreePager } from '../../src/storage/tree.ts';
import { chunkOf, givenBackup, givenPack, givenRepository } from './given.ts';
import { Interleaving } from './interleaving.ts';
import { ScriptedStore } from './scripted.ts';

/**
 * The commit protocol as a model: several operations of one cluster, with the real code of lock, plan, commit, cleanup
 * and sweep, on a storage that lets any of them sleep at any call. Nobody waits for a lease: clocks protect nobody here.
 */

/** What the model itself may do wrong, beside the functions that a test exchanges. */
export interface Wrongs {
  /** A second attempt goes by the plan of the first. */
  keepsPlan?: boolean;
}

/** What a node has: each letter is a page of its tree, and a chunk. */
const letters = [...'abcde'];
const pages = new Map(letters.map((letter) => [letter, pageOfLetter(letter)]));
const letterOf = new Map(letters.map((letter) => [hashOf(letter), letter]));

function pageOfLetter(letter: string): Buffer {
  let page = Buffer.alloc(0);
  const pager = new TreePager((bytes) => {
    page = Buffer.from(bytes);
  });
  const attributes = { mtime: 0n, mode: 0o644, uid: 0, gid: 0, size: 1 };
  pager.add({ path: letter, type: 'file', content: Buffer.from(letter), ...attributes });
  pager.end();
  return page;
}

function contentOf(letter: string): string {
  return (pages.get(letter) as Buffer).toString('latin1');
}

function hashOf(letter: string): string {
  return chunkOf(contentOf(letter)).toString('hex');
}

type Told = 'stands' | 'lost' | 'in doubt';

/** One run: a repository with backups and a died one's packs, and operations that come across each other. */
export class Protocol {
  readonly #interleaving: Interleaving;
  readonly #store: ScriptedStore;
  readonly #repository: Repository;
  readonly #directory: string;
  readonly #wrongs: Wrongs;
  /** What operations were told of their backups, by the backup's id. */
  readonly #told = new Map<string, Told>();
  readonly #listed = new Set<string>();
  readonly faults: string[] = [];
  #highest: RootDocument;
  #looked = -1;
  readonly #decoded = new Map<string, unknown>();

  private constructor(base: Base, seed: number, directory: string, wrongs: Wrongs) {
    this.#interleaving = new Interleaving(seed);
    this.#store = new ScriptedStore();
    for (const [key, object] of base.objects) this.#store.objects.set(key, object);
    this.#repository = { ...base.repository, store: this.#store };
    this.#highest = base.root;
    this.#directory = directory;
    this.#wrongs = wrongs;
  }

  /** Answers what was found wrong, and the calls that led to it. */
  static async run(base: Base, seed: number, wrongs: Wrongs = {}): Promise<{ faults: string[]; trace: string[] }> {
    const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'homarus-protocol-'));
    const protocol = new Protocol(base, seed, directory, wrongs);
    try {
      await protocol.#run();
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
    return { faults: protocol.faults, trace: protocol.#interleaving.trace };
  }

  async #run(): Promise<void> {
    const { random } = this.#interleaving;
    const some = (): string[] => {
      const chosen = letters.filter(() => random() < 0.5);
      return chosen.length > 0 ? chosen : ['a'];
    };
    const deleted = random() < 0.5 ? 'old' : 'kept';
    this.#actor('backup-1', (actor) => this.#backUp(actor, some()));
    this.#actor('cleanup-1', (actor) => this.#cleanUp(actor, { backups: [deleted] }));
    if (random() < 0.6) this.#actor('backup-2', (actor) => this.#backUp(actor, some()));
    if (random() < 0.6)
      this.#actor('cleanup-2', (actor) => this.#cleanUp(actor, random() < 0.5 ? { orphans: true } : {}));
    if (random() < 0.3) this.#actor('many', () => this.#many());
    await this.#interleaving.run(() => this.#look());
    for (const [id, told] of this.#told) {
      if (told === 'stands' && !this.#listed.has(id)) this.faults.push(`${id} was told to stand and was never listed`);
      if (told === 'lost' && this.#listed.has(id)) this.faults.push(`${id} was told to be lost and was listed`);
    }
  }

  /** Runs an operation to its end. Who still holds the lock may not fail for what others did. */
  #actor(name: string, work: (actor: Actor) => Promise<void>): void {
    const store = this.#interleaving.storeFor(name, this.#store);
    const actor = { name, repository: readAnew({ ...this.#repository, store }) };
    this.#interleaving.add(name, async () => {
      try {
        await work(actor);
      } catch (error) {
        if (hasCode(error, 'LockLost', 'LockHeld', 'CommitInDoubt', 'StoreUnreachable', 'BackupNotFound')) return;
        const { root } = await presentRoot(readAnew(this.#repository));
        if (root.holder?.operation === name)
          this.faults.push(`${name} holds the lock and fails: ${(error as Error).stack}`);
      }
    });
  }

  async #acquire(actor: Actor, attempt: AttemptId): Promise<StorageGrant> {
    const { at, epoch } = await retried(() =>
      acquireLock(actor.repository, { ...attempt, ttl: 0 }, { nonce: `${attempt.run} lock`, patience: 0 }),
    );
    return {
      attempt,
      storage: 'main',
      repository: actor.repository.parameters.id,
      epoch,
      root: at.root.number,
      ttl: 0,
    };
  }

  async #backUp(actor: Actor, wanted: readonly string[]): Promise<void> {
    let kept: Kept | undefined;
    for (const number of [1, 2]) {
      const attempt = attemptOf(actor.name, 'backup', number);
      const grant = await this.#acquire(actor, attempt);
      try {
        const plan = (this.#wrongs.keepsPlan && kept) || (await this.#uploaded(actor, grant, wanted));
        kept = plan;
        const id = `${padded(grant.epoch)}-${Buffer.from(attempt.run).toString('hex').padStart(16, '0').slice(-16)}`;
        const commit = {
          id,
          nonce: `${attempt.run} commit`,
          label: '',
          attempt: number,
          started: attempt.since,
          missing: [],
          streams: [],
          requires: [],
        };
        const plugin = { name: 'files', version: 1, data: null };
        try {
          await retried(() => commitBackup(actor.repository, { grant, ...commit, ...plan, plugin }, this.#local));
          this.#told.set(id, 'stands');
          await removeStaging(actor.repository, grant.epoch, actor.name);
          return;
        } catch (error) {
          this.#told.set(id, hasCode(error, 'CommitInDoubt', 'StoreUnreachable') ? 'in doubt' : 'lost');
          throw error;
        }
      } catch (error) {
        if (number === 2 || !hasCode(error, 'LockLost', 'CommitInDoubt', 'StoreUnreachable')) throw error;
        await retried(() => releaseLock(actor.repository, grant.epoch, `${attempt.run} release`, { patience: 0 }));
      }
    }
  }

  /** Snapshot, plan and upload, short: what they hand to each other goes through the storage. */
  async #uploaded({ name, repository }: Actor, grant: StorageGrant, wanted: readonly string[]): Promise<Kept> {
    const prefix = `${keys.staging(grant.epoch, name)}n1/`;
    const chunks = wanted.map((letter) => ({ chunk: hashOf(letter), length: (pages.get(letter) as Buffer).length }));
    const tree = { pages: wanted.map((letter, place) => pageOf(letter, chunks[place]!)) };
    const totals = { entries: 1, files: 1, bytes: 1 };
    const root = { name: 'data', tree, totals, snapshotAt: grant.attempt.since, skipped: 0, vanished: 0 };
    const node: ManifestNode = { id: 'n1', az: '', host: 'test', roots: [root] };
    const records = chunks.map(({ chunk, length }) => {
      const record = Buffer.alloc(CHUNK_RECORD_BYTES);
      record.write(chunk, 'hex');
      record.writeUInt32LE(length, 32);
      return record;
    });
    const sorted = Buffer.concat(records.sort(Buffer.compare));
    const snapshots: SnapshotReceipt[] = [
      {
        node: 'n1',
        chunks: await retried(() => stageRecords(repository, `${prefix}chunks`, CHUNK_RECORD_BYTES, [sorted])),
        snapshot: await retried(() => stageJson(repository, `${prefix}snapshot`, node)),
        ...{
          totals,
          moments: { first: '2026-11-24T03:00:00.000Z', last: '2026-11-24T03:00:00.000Z' },
          hashedBytes: 0,
          linked: 0,
          unchanged: 0,
          skipped: 0,
          vanished: 0,
        },
      },
    ];
    const plan: PlanReceipt = await retried(() => planBackup(repository, { grant, snapshots }, this.#local));
    const uploads: UploadReceipt[] = [];
    for (const { list } of plan.wanted) {
      const share: string[] = [];
      await retried(async () => {
        share.length = 0;
        for await (const batch of readStaged(repository, list, CHUNK_RECORD_BYTES)) {
          for (let at = 0; at < batch.length; at += CHUNK_RECORD_BYTES) {
            share.push(letterOf.get(batch.toString('hex', at, at + 32)) as string);
          }
        }
      });
      const { pack, entries } = await retried(() => givenPack(repository, grant.epoch, share.map(contentOf)));
      const inOrder = [];
      for (let at = 0; at < entries.length; at += ENTRY_BYTES) inOrder.push(entries.subarray(at, at + ENTRY_BYTES));
      const sortedEntries = Buffer.concat(inOrder.sort(Buffer.compare));
      uploads.push({
        node: 'n1',
        entries: await retried(() => stageRecords(repository, `${prefix}entries`, ENTRY_BYTES, [sortedEntries])),
        packs: await retried(() => stageJson(repository, `${prefix}packs`, [pack])),
        ...{ packCount: 1, chunks: share.length, bytes: 1, stored: 1 },
      });
    }
    return { snapshots, uploads, orphans: plan.orphans };
  }

  async #cleanUp(actor: Actor, request: { backups?: string[]; orphans?: boolean }): Promise<void> {
    const attempt = attemptOf(actor.name, 'cleanup', 1);
    const grant = await this.#acquire(actor, attempt);
    const options = { ...this.#local, retention: {}, rewrite: { maxUnused: 0.05, maxRepackBytes: null }, now: 0 };
    await retried(() => cleanUp(actor.repository, { grant, nonce: `${attempt.run} commit`, request }, options));
  }

  /** So many operations at once that the roots of who sleeps meanwhile are swept. */
  async #many(): Promise<void> {
    for (let number = 1; number <= 12; number++) {
      const attempt = attemptOf(`many-${number}`, 'lock', 1);
      const nonce = `${attempt.run} lock`;
      const { epoch } = await acquireLock(this.#repository, { ...attempt, ttl: 0 }, { nonce });
      await releaseLock(this.#repository, epoch, `${attempt.run} release`);
    }
  }

  /** Nobody is patient: what has no answer is tried again by the caller. */
  get #local(): { directory: string; patience: number } {
    return { directory: this.#directory, patience: 0 };
  }

  /** After each step: what must hold in every state of the storage (design, section 7: 1 to 3). */
  async #look(): Promise<void> {
    const { changes } = this.#store;
    if (changes === this.#looked) return;
    this.#looked = changes;
    const { root } = await presentRoot(this.#repository);
    if (root.number !== this.#highest.number) await this.#moved(root);
    await this.#restorable(root);
  }

  async #moved(root: RootDocument): Promise<void> {
    for (let number = this.#highest.number + 1; number <= root.number; number++) {
      const former = this.#highest;
      const next = number === root.number ? root : await rootAt(this.#repository, number);
      // Of many at once, some are swept already; nothing but lock and release was among them.
      if (next === undefined) continue;
      const whose = next.nonce.split(' ')[0];
      if (next.number === former.number + 1 && next.epoch === former.epoch && whose !== former.holder?.run) {
        this.faults.push(`root ${number} was committed by ${whose} while ${former.holder?.run} held the lock`);
      }
      if (next.epoch > former.epoch && !sameBackups(next, former)) {
        this.faults.push(`root ${number} takes the lock and changes the backups`);
      }
      for (const { id } of next.backups) this.#listed.add(id);
      this.#highest = next;
    }
  }

  /** All that the root lists is there, down to the packs. */
  async #restorable(root: RootDocument): Promise<void> {
    const places = new Map<string, string[]>();
    for (const ref of root.indexes) {
      if (!this.#store.objects.has(keys.index(ref.id))) {
        this.faults.push(`root ${root.number} names index ${ref.id}, which is gone`);
        return;
      }
      for (const [chunk, packs] of await this.#known(ref.id, () => indexed(this.#repository, ref))) {
        places.set(chunk, [...(places.get(chunk) ?? []), ...packs]);
      }
    }
    for (const entry of root.backups) {
      if (!this.#store.objects.has(keys.manifest(entry.name, entry.id))) {
        this.faults.push(`root ${root.number} lists ${entry.id}, whose manifest is gone`);
        return;
      }
      for (const chunk of await this.#known(entry.id, () => needed(this.#repository, entry))) {
        const packs = places.get(chunk) ?? [];
        if (packs.some((pack) => this.#store.objects.has(keys.pack(pack)))) continue;
        this.faults.push(`root ${root.number} lists ${entry.id}, whose chunk ${letterOf.get(chunk)} has no pack`);
        return;
      }
    }
  }

  /** Objects never change. */
  async #known<T>(id: string, read: () => Promise<T>): Promise<T> {
    if (!this.#decoded.has(id)) this.#decoded.set(id, await read());
    return this.#decoded.get(id) as T;
  }
}

interface Actor {
  name: string;
  repository: Repository;
}

type Kept = Pick<Parameters<typeof commitBackup>[1], 'snapshots' | 'uploads' | 'orphans'>;

/** Where every run begins. */
export interface Base {
  objects: ScriptedStore['objects'];
  repository: Repository;
  root: RootDocument;
}

/** Two backups that share a chunk, and packs that a died one left, below and above the floor of a later cleanup. */
export async function givenBase(): Promise<Base> {
  const { store, repository } = await givenRepository();
  const packsOf = (letters: string): string[][] => [[...letters].map(contentOf)];
  await givenBackup(repository, 'old', packsOf('ab'));
  await givenBackup(repository, 'died-1', packsOf('d'), { dies: true });
  await givenBackup(repository, 'kept', packsOf('c'), { contents: [...'bc'].map(contentOf) });
  await givenBackup(repository, 'died-2', packsOf('e'), { dies: true });
  return { objects: store.objects, repository, root: (await presentRoot(repository)).root };
}

const attemptOf = (operation: string, kind: AttemptId['kind'], number: number): AttemptId => ({
  ...{ operation, run: `${operation}/${number}`, kind, by: 'test' },
  since: `2025-01-01T00:00:0${number}.000Z`,
});

/** As Temporal does with an activity that failed for what passes. */
async function retried<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (tries === 3 || !hasCode(error, 'StoreUnreachable', 'CommitInDoubt')) throw error;
    }
  }
}

const sameBackups = (one: RootDocument, other: RootDocument): boolean =>
  one.backups.map(({ id }) => id).join() === other.backups.map(({ id }) => id).join();

const rootAt = async (repository: Repository, number: number): Promise<RootDocument | undefined> =>
  (await readRoot(repository, number, {}))?.root;

/** By chunk: ids of the packs that an index says hold it. */
async function indexed(repository: Repository, ref: IndexRef): Promise<Map<string, string[]>> {
  const index = await ChunkIndex.open(repository, ref);
  const places = new Map<string, string[]>();
  for await (const page of index.pages()) {
    for (let at = 0; at < page.length; at += ENTRY_BYTES) {
      const chunk = page.toString('hex', at, at + 32);
      const pack = index.packs[readEntry(page, at).pack] as PackRef;
      places.set(chunk, [...(places.get(chunk) ?? []), pack.id]);
    }
  }
  return places;
}

async function needed(repository: Repository, entry: BackupEntry): Promise<string[]> {
  const { nodes, streams } = await readManifest(repository, entry);
  const trees = nodes.flatMap(({ roots }) => roots.map(({ tree }) => ('pages' in tree ? tree.pages : [])));
  return [...streams.map(({ chunks }) => chunks), ...trees].flat().map(({ chunk }) => chunk);
}
