import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Manifest } from '../../src/domain/documents.ts';
import type { BackupResult } from '../../src/domain/results.ts';
import { TestCluster } from '../support/cluster.ts';

/** Databases that go on writing: each node has a writer that appends numbered records to its files while backups run. */

const LONG = 480_000;
const FILES = 5;
/** Bytes of a record: its number, and a line feed. */
const RECORD = 16;
let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start({ storage: 'files' });
}, LONG);
afterAll(() => cluster?.stop(), LONG);

/** Appends to the files in turn until it is told to end. */
const writer = `
  const { openSync, writeSync } = require('node:fs');
  const files = Array.from({ length: ${FILES} }, (_, file) => openSync(process.argv[1] + '/log-' + file, 'a'));
  let number = 0;
  const write = () => {
    for (const file of files) writeSync(file, String(number).padStart(${RECORD - 1}, '0') + '\\n');
    number++;
    setTimeout(write, 2);
  };
  process.once('SIGTERM', () => process.exit());
  write();
`;

function startWriter(node: string): () => Promise<void> {
  const child = spawn(process.execPath, ['-e', writer, cluster.root(node)], { stdio: 'inherit' });
  return async () => {
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  };
}

const logs = (root: string): string[] => readdirSync(root).filter((name) => name.startsWith('log-'));

/** Sizes as the backup recorded them. */
async function recorded(backup: string, node: string): Promise<Record<string, number>> {
  const { entries } = (await cluster.does('ls', backup, '--node', node)) as {
    entries: { path: string; size: number }[];
  };
  return Object.fromEntries(entries.map(({ path, size }) => [path, size]));
}

test(
  'what a backup holds of a file that grows is a prefix of it, as long as was recorded, and the spread of the moments is told',
  async () => {
    const stops = cluster.nodes.map(startWriter);
    const results: BackupResult[] = [];
    for (let backups = 0; backups < 3; backups++) {
      results.push((await cluster.does('backup')) as unknown as BackupResult);
    }
    for (const stop of stops) await stop();

    for (const { backup, snapshotSpread } of results) {
      const { manifest } = (await cluster.does('show', backup)) as unknown as { manifest: Manifest };
      const moments = manifest.nodes.flatMap(({ roots }) => roots.map(({ snapshotAt }) => Date.parse(snapshotAt)));
      expect(moments).toHaveLength(cluster.nodes.length);
      expect(snapshotSpread).toBe(Math.max(...moments) - Math.min(...moments));
      for (const node of cluster.nodes) {
        const to = join(cluster.directory, 'extracted', backup, node);
        mkdirSync(to, { recursive: true });
        await cluster.does('extract', backup, '--node', node, '--to', to);
        const sizes = await recorded(backup, node);
        expect(logs(to)).toHaveLength(FILES);
        for (const log of logs(to)) {
          const then = readFileSync(join(to, log));
          const now = readFileSync(join(cluster.root(node), log));
          expect(then.length).toBe(sizes[log]);
          expect(then.length).toBeGreaterThan(0);
          expect(then.length % RECORD).toBe(0);
          expect(then.equals(now.subarray(0, then.length))).toBe(true);
        }
      }
    }
    // They did write while backups ran.
    const lengths = results.map(({ bytes }) => bytes);
    expect(lengths).toEqual([...new Set(lengths)].sort((a, b) => a - b));
  },
  LONG,
);
