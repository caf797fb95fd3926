import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Finding } from '../../src/cli/doctor.ts';
import { TestCluster } from '../support/cluster.ts';
import { comes } from '../support/patience.ts';
import { canMount, SmallDisk } from '../support/smallDisk.ts';

/** `homarus doctor` on a live cluster, whole and with one thing after another broken. */

const LONG = 240_000;
const MiB = 1024 * 1024;
const withDisks = canMount() || process.env.CI === 'true' ? test : test.skip;
const inLongRuns = process.env.HOMARUS_LONG ? test : test.skip;
let cluster: TestCluster;
const disks: SmallDisk[] = [];

beforeAll(async () => {
  cluster = await TestCluster.start({
    storage: 's3',
    breakable: true,
    started: ['coordinator', 'n1', 'n2'],
    more: { schedules: { nightly: { operation: 'backup', cron: '0 0 1 1 *' } }, backup: { alertAfter: '1d' } },
  });
}, LONG);
afterAll(async () => {
  await cluster?.stop();
  for (const disk of disks) disk.unmount();
}, LONG);

interface Node {
  id: string;
  root: string;
  linkDir?: string;
}

interface Fields {
  temporal: { address: string; namespace?: string };
  storages: { main: { endpoint: string } };
  nodes: [Node, Node, Node];
  schedules: Record<string, object>;
}

interface Examined {
  exit: number;
  /** What failed, in words; undefined when nothing did. */
  message: string | undefined;
  findings: Finding[];
}

/** With a configuration in which something is changed. */
async function examine(change: (config: Fields) => void = () => undefined): Promise<Examined> {
  const config = JSON.parse(readFileSync(cluster.configFile, 'utf8')) as Fields;
  change(config);
  const file = join(cluster.directory, 'changed.json');
  writeFileSync(file, JSON.stringify(config));
  const { exit, json } = await cluster.homarus('doctor', '--config', file);
  const { findings } = json.result as { findings: Finding[] };
  return { exit, message: json.error?.message, findings };
}

/** All that is not well. */
const ills = ({ findings }: Examined): Finding[] => findings.filter(({ state }) => state !== 'well');

test(
  'a node without a worker and a cluster without a backup are named, with what to do; then all is well',
  async () => {
    const ill = await examine();
    expect([ill.exit, ill.message]).toEqual([32, 'amiss: repository in main, node n3']);
    expect(ills(ill)).toEqual([
      {
        ...{ what: 'repository in main', state: 'amiss', mend: 'Run "homarus backup".' },
        detail: 'of cluster east, 0 backups, free; the last complete backup is older than backup.alertAfter',
      },
      {
        what: 'node n3',
        state: 'amiss',
        detail: 'no worker of it asks for work',
        mend: 'Start it: homarus node --node n3',
      },
    ]);
    await cluster.launch('n3');
    await cluster.does('backup');
    const well = await examine();
    expect([well.exit, well.message, ills(well)]).toEqual([0, undefined, []]);
    const names = well.findings.map(({ what }) => what.replace(cluster.directory, ''));
    expect(names).toEqual([
      ...['configuration', 'storage main', 'repository in main', 'Temporal', 'search attributes', 'coordinators'],
      ...['node n1', 'node n2', 'node n3', 'schedules'],
      ...cluster.nodes.map((id) => `root /nodes/${id} of node ${id}, on this machine`),
    ]);
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    const told = (what: string) => well.findings.find((one) => one.what.includes(what))?.detail;
    expect(told('Temporal')).toMatch(/^server \d+\.\d+.* at 127\.0\.0\.1:\d+, namespace default$/);
    expect(told('coordinators')).toBe(`1 at work, version ${version}`);
    expect(told('node n2')).toMatch(/^alive, node[/]n2[/].*@.*, version \d+\.\d+\.\d+$/);
    expect(told('storage')).toMatch(/conditional writes.*its clock is \d+ s (behind|ahead of) this machine's$/);
    expect(told('root')).toMatch(/^readable, makes hard links, .* free$/);
  },
  LONG,
);

test(
  'a storage that refuses writes and one whose conditional writes have no winner are named, and the rest is looked at all the same',
  async () => {
    const endpoint = await cluster.front.endpoint('doctor');
    const asked = (fault: number) => cluster.front.meet(({ from, verb }) => from === 'doctor' && verb === 'PUT', fault);
    const look = (): Promise<Examined> =>
      examine((config) => {
        config.storages.main.endpoint = endpoint;
      });
    const readOnly = asked(403);
    const refused = await look();
    readOnly.lift();
    expect(refused.exit).toBe(32);
    expect(ills(refused)).toMatchObject([{ what: 'storage main', state: 'amiss' }]);
    expect(ills(refused)[0]?.detail).toMatch(/403|refused|forbidden/i);
    expect(ills(refused)[0]?.mend).toMatch(/right/i);
    expect(refused.findings.some(({ what }) => what.startsWith('root'))).toBe(true);

    const nobodyWins = asked(412);
    const broken = await look();
    nobodyWins.lift();
    expect(ills(broken)).toMatchObject([
      { what: 'storage main', state: 'amiss', detail: expect.stringContaining('0 were told that they did') },
    ]);
  },
  LONG,
);

withDisks(
  'links on another file system, and one that is nearly full, are named by their root',
  async () => {
    const disk = new SmallDisk(16 * MiB);
    disks.push(disk);
    const elsewhere = await examine(({ nodes: [n1] }) => {
      n1.linkDir = join(disk.path, 'links');
    });
    expect(elsewhere.exit).toBe(32);
    expect(ills(elsewhere)).toMatchObject([
      {
        what: `root ${cluster.root('n1')} of node n1, on this machine`,
        state: 'amiss',
        detail: expect.stringContaining('it is on another file system than the root'),
        mend: expect.stringContaining('linkDir'),
      },
    ]);

    mkdirSync(join(disk.path, 'root'));
    disk.fill(100_000);
    const full = await examine(({ nodes: [, n2] }) => {
      n2.root = join(disk.path, 'root');
    });
    expect([full.exit, ills(full)]).toMatchObject([0, [{ state: 'unsure', detail: expect.stringMatching(/free$/) }]]);
  },
  LONG,
);

test(
  'without Temporal, or in a namespace that is not there or was not prepared, it says how to go on',
  async () => {
    const away = await examine(({ temporal }) => {
      temporal.address = '127.0.0.1:1';
    });
    expect(away.exit).toBe(32);
    expect(ills(away)).toMatchObject([{ what: 'Temporal', detail: expect.stringContaining('127.0.0.1:1') }]);
    expect(away.findings.some(({ what }) => what === 'repository in main')).toBe(true);

    const inNamespace = (namespace: string) => () =>
      examine(({ temporal }) => {
        temporal.namespace = namespace;
      });
    expect(ills(await inNamespace('nowhere')())).toMatchObject([
      { what: 'Temporal', mend: expect.stringContaining('temporal operator namespace create -n nowhere') },
    ]);
    await cluster.temporalCli('operator', 'namespace', 'create', 'fresh');
    // A new one is known to every part of the server only after some seconds.
    const fresh = await comes(
      () => 'the new namespace to be known',
      async () => {
        const examined = await inNamespace('fresh')();
        return examined.findings.some(({ what, state }) => what === 'coordinators' && state === 'amiss')
          ? examined
          : undefined;
      },
    );
    const found = ills(fresh).map(({ what, mend }) => [what, mend]);
    expect(found).toContainEqual([
      'search attributes',
      expect.stringMatching(/temporal operator search-attribute create .*--name HomarusCluster .* -n fresh$/),
    ]);
    expect(found).toContainEqual(['coordinators', 'Start one with "homarus coordinator".']);
  },
  LONG,
);

test(
  'schedules that are not as configured, and one that is paused, are told',
  async () => {
    const other = await examine(({ schedules }) => {
      schedules.weekly = { operation: 'cleanup', every: '7d' };
    });
    expect([other.exit, ills(other)]).toMatchObject([
      0,
      [{ what: 'schedules', state: 'unsure', detail: 'not as configured: weekly' }],
    ]);
    await cluster.does('schedules', 'pause', 'nightly');
    expect(ills(await examine())).toMatchObject([
      { state: 'unsure', detail: 'paused: nightly', mend: expect.stringContaining('homarus schedules resume') },
    ]);
  },
  LONG,
);

// Temporal remembers who asked for more than a minute.
inLongRuns(
  'a node that is killed is named as soon as Temporal forgets that it asked for work',
  async () => {
    await cluster.kill('n2');
    const examined = await comes(
      () => 'n2 to be missed',
      async () => {
        const found = await examine();
        return found.exit === 0 ? undefined : found;
      },
      { every: 2_000 },
    );
    expect(examined.message).toBe('amiss: node n2');
  },
  LONG,
);
