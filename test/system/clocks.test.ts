import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { differences, fingerprint } from '../../src/cli/sampleTree.ts';
import type { TestCluster } from '../support/cluster.ts';
import { faultyCluster, give, PATIENCE, puts, stored, wipe } from '../support/faults.ts';
import { testNeeding } from '../support/needing.ts';

/** Machines whose clocks are hours apart, or jump while they work. The monotonic clock stays what it is, as on real ones. */

const test = testNeeding('faketime');
/** Seconds that each process's clock is ahead of ours. */
const ahead: Record<string, number> = { coordinator: 3_600, n1: -3_600, n2: 1_800, n3: 0 };
let cluster: TestCluster | undefined;

/** The clock of a process, as it is from now on. */
function setClock(name: string, seconds: number): void {
  writeFileSync(join(cluster!.directory, `${name}.clock`), `${seconds < 0 ? '' : '+'}${seconds}\n`);
}

async function launchAhead(name: string): Promise<void> {
  setClock(name, ahead[name]!);
  await cluster!.launch(name, {
    LD_PRELOAD: execFileSync('faketime', ['-m', '-f', '+0', 'printenv', 'LD_PRELOAD'], { encoding: 'utf8' }).trim(),
    FAKETIME_TIMESTAMP_FILE: join(cluster!.directory, `${name}.clock`),
    FAKETIME_NO_CACHE: '1',
    DONT_FAKE_MONOTONIC: '1',
    NO_FAKE_STAT: '1',
  });
}

/** Without the program there is nothing to prepare. */
const prepare = async (): Promise<void> => {
  try {
    execFileSync('faketime', ['--version']);
  } catch {
    return;
  }
  cluster = await faultyCluster();
  for (const name of Object.keys(ahead)) {
    await cluster.shutDown(name);
    await launchAhead(name);
  }
};
beforeAll(prepare, PATIENCE);
afterAll(() => cluster?.stop(), PATIENCE);

test(
  'machines hours apart back up and restore, and none takes a lock that another holds and refreshes',
  async () => {
    give(cluster!, 'n1', 'n2');
    await cluster!.does('backup');
    const whole = fingerprint(cluster!.root('n1'));
    wipe(cluster!.root('n1'));
    await cluster!.does('restore', 'latest', '--yes');
    expect(differences(whole, fingerprint(cluster!.root('n1')))).toEqual([]);

    const { operation } = await cluster!.does('lock', '--for', '1h');
    // Longer than a lock lives that nobody refreshes; and a coordinator joins by whose clock it ran out long ago.
    await pause(12_000);
    ahead['coordinator-2'] = 7_200;
    await launchAhead('coordinator-2');
    await cluster!.kill('coordinator');
    const refused = await cluster!.homarus('backup');
    expect(refused.json.error).toMatchObject({ code: 'LockHeld', message: expect.stringContaining(String(operation)) });
    // The storage's part, too: the nodes alone would have refused.
    const parts = ['storage', ...cluster!.nodes];
    expect(await cluster!.locked()).toEqual(Object.fromEntries(parts.map((part) => [part, operation])));
    await launchAhead('coordinator');
    await cluster!.does('unlock');
    expect(await cluster!.locked()).toEqual({});
  },
  PATIENCE,
);

test(
  'clocks that jump forward and back while a backup runs neither end it nor keep it locked',
  async () => {
    give(cluster!, 'n2');
    const packs = cluster!.front.hold(puts('n2', 'packs/'));
    const id = await cluster!.begins('backup');
    await packs.met;
    for (const seconds of [7_200, -86_400, 0]) {
      for (const name of Object.keys(ahead)) setClock(name, seconds);
      await pause(2_000);
    }
    packs.letGo();
    expect(await cluster!.end(id)).toMatchObject({ state: 'succeeded', error: null });
    expect(await cluster!.locked()).toEqual({});
  },
  PATIENCE,
);

test(
  'a lock whose holder is gone is free after its time, whatever the clocks say',
  async () => {
    // By the clocks of the coordinators it is not granted before tomorrow.
    for (const name of Object.keys(ahead)) setClock(name, name === 'n1' ? 86_400 : -86_400);
    const { operation } = await cluster!.does('lock', '--for', '1h');
    const epoch = stored(cluster!, 'leases/').at(-1);
    expect(epoch).toBeDefined();
    await cluster!.temporalCli('workflow', 'terminate', '--workflow-id', String(operation), '--reason', 'test');
    await cluster!.does('backup', '--wait-for-lock', '1m');
    expect(await cluster!.locked()).toEqual({});
  },
  PATIENCE,
);

test(
  'doctor on a machine whose clock is wrong says so, and takes no worker for dead because of it',
  async () => {
    const { accessKeyId, secretAccessKey } = cluster!.s3;
    const program = new URL('../../dist/cli/main.js', import.meta.url).pathname;
    for (const [clock, differs, least] of [
      ['+3600', /its clock is (\d+) s behind this machine's/, 3_000],
      ['-7200', /its clock is (\d+) s ahead of this machine's/, 6_000],
    ] as const) {
      const words = ['-m', '-f', clock, process.execPath, program, 'doctor', '--config', cluster!.configFile];
      const said = execFileSync('faketime', words, {
        env: { ...process.env, TEST_S3_ID: accessKeyId, TEST_S3_KEY: secretAccessKey, DONT_FAKE_MONOTONIC: '1' },
        encoding: 'utf8',
      });
      // About so much: an answer takes its time, too.
      expect(Number(differs.exec(said)?.[1])).toBeGreaterThan(least);
      expect(said).toContain('Let both follow NTP');
      expect(said).toMatch(/^ok {4}node n1: alive/m);
      expect(said).not.toContain('FAIL');
    }
  },
  PATIENCE,
);
