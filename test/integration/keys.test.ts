import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { makeSampleTree } from '../../src/cli/sampleTree.ts';
import { TestCluster } from '../support/cluster.ts';
import { compareTrees } from '../support/trees.ts';

/** An encrypted repository in a directory, through the command line and on real processes: new keys, damage, loss of its roots. */

const LONG = 120_000;

let cluster: TestCluster;
let secrets: string;
let storage: string;

beforeAll(async () => {
  secrets = mkdtempSync(join(tmpdir(), 'homarus-secrets-'));
  writeFileSync(join(secrets, 'key'), Buffer.alloc(32, 'k'));
  cluster = await TestCluster.start({
    storage: 'files',
    nodes: ['n1'],
    pack: { size: 262_144, block: 65_536 },
    lock: { ttl: '12s', refresh: '1s', heartbeat: '5s', throttle: '500ms' },
    encryption: { keyFile: join(secrets, 'key') },
  });
  storage = join(cluster.directory, 'storage');
  makeSampleTree(cluster.root('n1'), { seed: 1, files: 60 });
  await cluster.does('backup', '--label', 'first');
}, LONG);
afterAll(async () => {
  await cluster?.stop();
  rmSync(secrets, { recursive: true, force: true });
}, LONG);

const objects = (kind: string): string[] =>
  readdirSync(join(storage, kind), { recursive: true, encoding: 'utf8' })
    .map((name) => join(storage, kind, name))
    .filter((path) => statSync(path).isFile())
    .sort();
/** Generations of the data keys that seal packs and indexes. */
const generations = (): number[][] =>
  ['packs', 'indexes'].map((kind) =>
    [...new Set(objects(kind).map((path) => readFileSync(path).readUInt32LE(8)))].sort(),
  );

/** Extracts the latest backup, and compares. */
async function extracted(): Promise<string[]> {
  const to = join(cluster.directory, 'extracted');
  rmSync(to, { recursive: true, force: true });
  await cluster.does('extract', 'latest', '--node', 'n1', '--to', to);
  return compareTrees(cluster.root('n1'), to);
}

test(
  'what former data keys seal is rewritten, as much at once as is allowed, and then they are needed no more',
  async () => {
    const packs = objects('packs').length;
    expect(packs).toBeGreaterThan(3);
    const first = await cluster.does('key', 'rotate', '--reencrypt', '--max-repack-bytes', '300KiB');
    expect(first).toMatchObject({ generation: 2, state: 'succeeded', removedBackups: 0, damagedPacks: 0 });
    expect(first.rewrittenPacks).toBeGreaterThan(0);
    expect((first.formerKeys as { packs: number }).packs).toBeGreaterThan(0);
    expect(generations()[0]).toEqual([1, 2]);
    expect(await cluster.does('key', 'list')).toMatchObject({ generation: 2, rewriteBelow: 2 });
    expect(await extracted()).toEqual([]);

    const dry = (await cluster.does('cleanup', '--dry-run')) as { packs: { formerKeys: { packs: number } } };
    expect(dry.packs.formerKeys).toEqual(first.formerKeys);

    const second = await cluster.does('key', 'rotate', '--reencrypt');
    expect(second).toMatchObject({ generation: 2, formerKeys: { packs: 0, bytes: 0 } });
    expect(generations()).toEqual([[2], [2]]);
    expect(await cluster.does('key', 'list')).toMatchObject({ generation: 2, rewriteBelow: null });
    rmSync(join(storage, 'keys', 'generation-0000000000000001'));
    expect(await extracted()).toEqual([]);
    await cluster.does('backup', '--label', 'second');
    expect(await cluster.does('verify', '--read-data')).toMatchObject({ damaged: 0, damagedBackups: 0 });
  },
  LONG,
);

test(
  'a flipped bit is found by a verify that reads all, named with what it costs, and healed by the next backup',
  async () => {
    const [hurt] = objects('packs') as [string];
    const bytes = readFileSync(hurt);
    bytes[200]! ^= 1;
    writeFileSync(hurt, bytes);
    const { exit, json } = await cluster.homarus('verify', '--read-data');
    expect(exit).not.toBe(0);
    expect(json.result).toMatchObject({ damagedBackups: 2, damaged: 1 });
    expect(JSON.stringify(json.result)).toContain(hurt.slice(storage.length + 1));
    await cluster.does('backup', '--label', 'healed');
    expect(await extracted()).toEqual([]);
    await cluster.does('cleanup', '--keep-last', '1', '--yes');
    expect(await cluster.does('verify', '--read-data')).toMatchObject({ damaged: 0, damagedBackups: 0 });
    expect(objects('packs')).not.toContain(hurt);
  },
  LONG,
);

test(
  'without roots and indexes a repair brings back what there was, and backups go on',
  async () => {
    for (const name of ['coordinator', 'n1']) await cluster.shutDown(name);
    for (const path of [...objects('roots'), ...objects('indexes')]) rmSync(path);
    expect(await cluster.homarus('list')).toMatchObject({ json: { error: { code: 'ObjectMissing' } } });
    const dry = await cluster.does('repair', '--dry-run');
    expect(dry).toMatchObject({ dryRun: true, aside: [], lost: [] });
    expect(objects('roots')).toEqual([]);
    // Nobody may have said anything for as long as a lock lasts.
    let done = await cluster.homarus('repair', '--yes');
    while (done.json.error?.code === 'LockHeld') done = await cluster.homarus('repair', '--yes');
    expect(done.json).toMatchObject({ ok: true, result: { number: dry.number, packs: dry.packs } });
    expect(await extracted()).toEqual([]);
    for (const name of ['coordinator', 'n1']) await cluster.launch(name);
    await cluster.does('backup', '--label', 'repaired');
    expect(await extracted()).toEqual([]);
    expect(await cluster.does('verify', '--read-data')).toMatchObject({ damaged: 0, damagedBackups: 0 });
  },
  LONG,
);
