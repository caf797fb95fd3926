import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { changeSampleTree, differences, fingerprint, makeSampleTree } from '../../src/cli/sampleTree.ts';
import { TestCluster } from '../support/cluster.ts';

/** The main job on real processes with an encrypted repository in a bucket. */

const LONG = 120_000;
const PASSPHRASE = 'a passphrase that stands nowhere';
let cluster: TestCluster;
let secrets: string;

beforeAll(async () => {
  secrets = mkdtempSync(join(tmpdir(), 'homarus-secrets-'));
  writeFileSync(join(secrets, 'passphrase'), PASSPHRASE);
  writeFileSync(join(secrets, 'other'), 'another');
  cluster = await TestCluster.start({
    storage: 's3',
    nodes: ['unspeakable-1', 'unspeakable-2'],
    encryption: { passphraseFile: join(secrets, 'passphrase') },
  });
  for (const [place, node] of cluster.nodes.entries()) {
    makeSampleTree(cluster.root(node), { seed: place, sharedSeed: 7, files: 60 });
  }
}, LONG);
afterAll(async () => {
  await cluster?.stop();
  rmSync(secrets, { recursive: true, force: true });
}, LONG);

/** What the bucket holds, as its server stores it: names and bytes. */
function bucket(): { key: string; body: Buffer }[] {
  const directory = join(cluster.directory, 's3', 'backups', 'east');
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(directory, name)).isFile())
    .map((key) => ({ key, body: readFileSync(join(directory, key)) }));
}

/** All that Temporal holds of an operation, decoded. */
const payloadsOf = (history: unknown): string[] => {
  if (typeof history !== 'object' || history === null) return [];
  const { metadata, data } = history as { metadata?: object; data?: Uint8Array };
  if (metadata && data) return [Buffer.from(data).toString('utf8')];
  return Object.values(history).flatMap(payloadsOf);
};

test(
  'what was backed up comes back, and nobody who has the bucket alone learns a name, a node or a byte of it',
  async () => {
    const first = await cluster.begins('backup', '--label', 'unspeakable-label');
    expect(await cluster.end(first)).toMatchObject({ state: 'succeeded' });
    expect(await cluster.does('key', 'rotate')).toMatchObject({ generation: 2 });
    for (const node of cluster.nodes) changeSampleTree(cluster.root(node), 9);
    await cluster.does('backup');

    const [node, other] = cluster.nodes as [string, string];
    const before = fingerprint(cluster.root(node));
    const log = readFileSync(join(cluster.root(node), 'log', 'commit-0001.log'));
    const objects = bucket();
    expect(objects.length).toBeGreaterThan(10);
    const known = [
      ...['unspeakable', 'commit-0001', 'segment-', 'table-0', 'server.conf', 'listen = 127', first].map((text) =>
        Buffer.from(text),
      ),
      ...[0, 100_000, 200_000].map((at) => log.subarray(at, at + 16)),
    ];
    for (const { key, body } of objects) {
      for (const one of known) {
        const found = body.includes(one) || key.includes(one.toString('latin1'));
        expect({ key, known: one.toString('latin1'), found }).toEqual({
          key,
          known: one.toString('latin1'),
          found: false,
        });
      }
    }

    for (const name of readdirSync(cluster.root(node))) rmSync(join(cluster.root(node), name), { recursive: true });
    const restore = await cluster.begins('restore', 'latest', '--yes');
    expect(await cluster.end(restore)).toMatchObject({ state: 'succeeded' });
    expect(differences(before, fingerprint(cluster.root(node)))).toEqual([]);
    const to = join(cluster.directory, 'extracted');
    await cluster.does('extract', 'latest', '--node', other, '--to', to);
    expect(differences(fingerprint(cluster.root(other)), fingerprint(to))).toEqual([]);

    const told = [first, restore].map(async (id) => payloadsOf(await cluster.historyOf(id)));
    expect((await Promise.all(told)).flat().join('\n')).not.toContain(PASSPHRASE);
    for (const name of ['coordinator', ...cluster.nodes]) expect(cluster.logOf(name)).not.toContain(PASSPHRASE);
  },
  LONG,
);

test(
  'a node or coordinator with the wrong key does not start, and says why',
  async () => {
    const config = JSON.parse(readFileSync(cluster.configFile, 'utf8'));
    const wrong = join(cluster.directory, 'wrong.json');
    config.storages.main.encryption = { passphraseFile: join(secrets, 'other') };
    writeFileSync(wrong, JSON.stringify(config));
    for (const command of [['coordinator'], ['node', '--node', 'unspeakable-1'], ['list']]) {
      const { exit, json } = await cluster.homarus(...command, '--config', wrong);
      expect(json.error).toMatchObject({ code: 'KeyWrong', message: expect.stringContaining('opens none of the') });
      expect(exit).toBe(25);
    }
  },
  LONG,
);
