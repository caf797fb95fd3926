import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { damageLine } from '../domain/documentShapes.ts';
import type { DamagedObject, RootDocument } from '../domain/documents.ts';
import { keys } from '../domain/documents.ts';
import type { PacksReceipt } from '../domain/operations.ts';
import type { BackupState, Damage, Loss, VerifyResult } from '../domain/results.ts';
import { generationOf } from './block.ts';
import type { CallOptions } from './objectStore.ts';
import { openReadable } from './openIndexes.ts';
import { LineFile, readReport, reportOf, writeReport } from './report.ts';
import type { Repository } from './repository.ts';
import { readAnew } from './repository.ts';
import type { RootAt } from './roots.ts';
import { presentRoot } from './roots.ts';
import type { VerifiedBackups } from './verifyBackups.ts';
import { verifyBackups } from './verifyBackups.ts';
import { damagedIndexes, damagedKeys, damagedOthers } from './verifyObjects.ts';

/** A line of the report of a verify. */
export type ReportLine = ({ type: 'damage' } & Damage) | ({ type: 'loss' } & Loss) | ({ type: 'backup' } & BackupState);

export interface VerifyInput {
  /** Workflow id. */
  operation: string;
  /** What was found in the shares of the packs. */
  packs: readonly PacksReceipt[];
}

export interface VerifyOptions extends CallOptions {
  /** For temporary files. */
  directory: string;
}

/** So many damaged objects stand in the receipt. */
const FIRST = 10;
/** A repository that is changed again and again meanwhile: what is found then is told. */
const MOST_RUNS = 5;

/**
 * Verifies all but the packs themselves, by the present root, and says what the damage of all costs. No lock is taken: what
 * is found missing is believed only when the root is still there that led to it. The whole of it goes to a report in the
 * storage as soon as anything is damaged.
 */
export async function verifyStored(
  given: Repository,
  input: VerifyInput,
  options: VerifyOptions,
): Promise<VerifyResult> {
  const repository = readAnew(given);
  const directory = await mkdtemp(join(options.directory, 'verify-'));
  const losses = new LineFile(join(directory, 'losses'));
  try {
    let at = await presentRoot(repository, options);
    for (let run = 1; ; run++) {
      const found = await verifyOnce(repository, at, input, losses, { ...options, directory });
      const now = found.damage.size > 0 ? await presentRoot(repository, { ...options, cached: at }) : at;
      if (run === MOST_RUNS || leadsToTheSame(now.root, at.root)) {
        return await resultOf(repository, at.root, input, found, losses, options);
      }
      at = now;
      losses.clear();
    }
  } finally {
    losses.close();
    await rm(directory, { recursive: true, force: true });
  }
}

interface Found extends VerifiedBackups {
  /** By key. */
  damage: Map<string, Damage>;
}

async function verifyOnce(
  repository: Repository,
  at: RootAt,
  { packs }: VerifyInput,
  losses: LineFile,
  options: VerifyOptions,
): Promise<Found> {
  const damage = new Map<string, Damage>();
  const add = (one: Damage): void => {
    if (!damage.has(one.key)) damage.set(one.key, one);
  };
  for await (const one of damagedIndexes(repository, at.root, options)) add(one);
  const led = await generationsByPack(repository, at.root, options);
  // What an index that cannot be read names may be sealed with any data key.
  const sealing = damage.size > 0 ? undefined : new Set(led.values());
  for (const { list } of packs) {
    if (!list) continue;
    for await (const one of readReport<Damage>(repository, list, damageLine, options)) if (led.has(one.key)) add(one);
  }
  for await (const one of damagedKeys(repository, at.root, sealing, options)) add(one);
  for await (const one of damagedOthers(repository, at, options)) add(one);
  const known = { ...at.root, damaged: withDamage(at.root, damage.values()) };
  const told = { onDamage: add, onLoss: (loss: Loss) => losses.add({ type: 'loss', ...loss } satisfies ReportLine) };
  return { damage, ...(await verifyBackups(repository, known, { ...options, ...told })) };
}

/** By the keys of the packs that a root leads to, as far as its indexes can be read: the data keys that seal them. */
async function generationsByPack(
  repository: Repository,
  root: RootDocument,
  options: CallOptions,
): Promise<Map<string, number>> {
  const led = new Map<string, number>();
  for (const index of await openReadable(repository, root, options)) {
    for (const { id, seal } of index.packs) led.set(keys.pack(id), generationOf(seal));
  }
  return led;
}

async function resultOf(
  repository: Repository,
  root: RootDocument,
  { operation, packs }: VerifyInput,
  { damage, states, chunks }: Found,
  losses: LineFile,
  options: CallOptions,
): Promise<VerifyResult> {
  const total = (count: 'packs' | 'bytes' | 'readPacks' | 'readBytes'): number =>
    packs.reduce((all, receipt) => all + receipt[count], 0);
  const lines: ReportLine[] = [
    ...[...damage.values()].map((one) => ({ type: 'damage', ...one }) as const),
    ...states.map((one) => ({ type: 'backup', ...one }) as const),
  ];
  const hurt = states.filter(({ state }) => state !== 'whole');
  const any = hurt.length > 0 || hasNews(root, damage.values());
  return {
    backups: states.length,
    damagedBackups: hurt.length,
    indexes: root.indexes.length,
    chunks,
    packs: total('packs'),
    bytes: total('bytes'),
    readPacks: total('readPacks'),
    readBytes: total('readBytes'),
    damaged: damage.size,
    first: [...damage.values()].slice(0, FIRST),
    lostFiles: hurt.reduce((most, { lostFiles }) => Math.max(most, lostFiles), 0),
    report: any
      ? await writeReport(repository, `${reportOf(repository.sealing, operation)}report`, lines, {
          ...options,
          more: losses,
        })
      : null,
    notedIn: null,
  };
}

/** What the root calls damaged already, and no backup needs any more, is no news. */
function hasNews(root: RootDocument, found: Iterable<Damage>): boolean {
  const known = new Set(root.damaged.map(({ id }) => id));
  for (const damage of found) if (!known.has(idOf(damage))) return true;
  return false;
}

const leadsToTheSame = (one: RootDocument, other: RootDocument): boolean =>
  JSON.stringify([one.backups, one.indexes]) === JSON.stringify([other.backups, other.indexes]);

/** What a root calls damaged, and what was found so beside it. */
export function withDamage({ damaged }: Pick<RootDocument, 'damaged'>, found: Iterable<Damage>): DamagedObject[] {
  const all = new Map(damaged.map((one) => [one.id, one]));
  for (const { kind, key } of found) {
    if (kind !== 'pack' && kind !== 'index' && kind !== 'manifest') continue;
    const id = idOf({ key });
    if (!all.has(id)) all.set(id, { kind, id });
  }
  return [...all.values()];
}

/** As it stands in a root, of a pack, an index or a manifest. */
const idOf = ({ key }: Pick<Damage, 'key'>): string =>
  /^manifests\/[^~]*~(.*)$/.exec(key)?.[1] ?? key.slice(key.indexOf('/') + 1);
