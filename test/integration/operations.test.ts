import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defaultPayloadConverter } from '@temporalio/common';
import { changeSampleTree, differences, fingerprint, makeSampleTree } from '../../src/cli/sampleTree.ts';
import { coordinatorQueue } from '../../src/domain/cluster.ts';
import { TestCluster } from '../support/cluster.ts';
import { onTerminal } from '../support/onTerminal.ts';
import { comes } from '../support/patience.ts';

/** The main job on real processes, as an operator does it: through the command line. */

const LONG = 120_000;
let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start({
    storage: 'files',
    lock: { ttl: '12s', refresh: '1s', heartbeat: '5s', throttle: '500ms' },
    more: { attempts: { backup: 2 } },
  });
  for (const [place, node] of cluster.nodes.entries()) {
    makeSampleTree(cluster.root(node), { seed: place, sharedSeed: 7, files: 200 });
  }
}, LONG);
afterAll(() => cluster?.stop(), LONG);

interface Listed {
  name: string;
  stored: number;
  bytes: number;
}
const listed = async (): Promise<Listed[]> => (await cluster.does('list')).backups as Listed[];
const holder = async (): Promise<unknown> => ((await cluster.does('status')).lock as { holder: unknown }).holder;
const prints = () => cluster.nodes.map((node) => fingerprint(cluster.root(node)));
const lost = (before: Map<string, string>[]): string[] =>
  before.flatMap((print, place) => differences(print, fingerprint(cluster.root(cluster.nodes[place]!))));
const storedFiles = (): string[] =>
  readdirSync(join(cluster.directory, 'storage'), { recursive: true, encoding: 'utf8' });

/** All payloads of a history, as text. */
function payloadsOf(history: unknown): string[] {
  if (typeof history !== 'object' || history === null) return [];
  const { metadata, data } = history as { metadata?: object; data?: Uint8Array };
  if (metadata && data) return [Buffer.from(data).toString('utf8')];
  return Object.values(history).flatMap(payloadsOf);
}

test(
  'what was backed up comes back to a node that lost everything, and a second backup costs only what changed',
  async () => {
    await cluster.does('backup', '--label', 'first');
    for (const node of cluster.nodes) changeSampleTree(cluster.root(node), 9);
    const second = await cluster.begins('backup');
    expect(await cluster.end(second)).toMatchObject({ state: 'succeeded' });
    const [newest, first] = await listed();
    expect(newest!.stored).toBeLessThan(first!.stored / 5);

    const before = prints();
    for (const name of readdirSync(cluster.root('n3'))) rmSync(join(cluster.root('n3'), name), { recursive: true });
    writeFileSync(join(cluster.root('n1'), 'stray'), 'not of the backup');
    const result = await cluster.does('restore', 'latest', '--yes');
    expect(result).toMatchObject({ backup: newest!.name, removed: 1 });
    expect(lost(before)).toEqual([]);
    for (const [wrong, text] of [
      [['--to', 'relative'], 'to: "relative" means another directory on each machine'],
      [['--path', '../x'], 'path: "../x" matches nothing below a root'],
      [['--node', 'n9'], 'node: there is no n9 in the cluster; it has n1, n2, n3'],
    ] as const) {
      const { json } = await cluster.homarus('restore', 'latest', '--yes', ...wrong);
      expect(json.error).toMatchObject({ code: 'BadInput', message: expect.stringContaining(text) });
    }

    // Receipts only: neither the number of files nor their names are in a history.
    const history = await cluster.historyOf(second);
    expect(payloadsOf(history).length).toBeGreaterThan(20);
    expect(history.length).toBeLessThanOrEqual(120);
    expect(payloadsOf(history).filter((text) => /segment-|table-|commit-0001/.test(text))).toEqual([]);
  },
  LONG,
);

test(
  'a part of a backup comes back where it is wanted, and nothing else is touched',
  async () => {
    const [n1] = prints();
    rmSync(join(cluster.root('n1'), 'log'), { recursive: true });
    rmSync(join(cluster.root('n1'), 'server.conf'));
    rmSync(join(cluster.root('n2'), 'server.conf'));
    writeFileSync(join(cluster.root('n1'), 'log-not'), 'stays');
    const part = await cluster.does('restore', '--node', 'n1', '--path', 'log', '--path', 'none/**', '--yes');
    expect(part).toMatchObject({ pairs: [{ from: 'n1', to: 'n1' }], removed: 0 });
    const missing = differences(n1!, fingerprint(cluster.root('n1'))).filter((path) => path !== '');
    expect(missing).toEqual(['log-not', 'server.conf']);

    const to = join(cluster.directory, 'elsewhere');
    await cluster.does('restore', 'latest', '--node', 'n2', '--to', to);
    expect(differences(fingerprint(cluster.root('n2')), fingerprint(to)).filter((path) => path !== '')).toEqual([
      'server.conf',
    ]);
    await cluster.does('restore', '--yes');
    expect(differences(n1!, fingerprint(cluster.root('n1'))).filter((path) => path !== '')).toEqual([]);
  },
  LONG,
);

test(
  'a restore is shown before it is done, node by node, and one that was given other pairs does as it was shown',
  async () => {
    const [n1] = prints();
    rmSync(join(cluster.root('n1'), 'log'), { recursive: true });
    writeFileSync(join(cluster.root('n1'), 'stray'), 'not of the backup');
    const damaged = prints();
    const shown = (await cluster.does('restore', '--dry-run')) as { nodes: object[] };
    expect(shown).toMatchObject({
      dryRun: true,
      removed: 1,
      fits: true,
      pairs: [{ from: 'n1', to: 'n1', how: 'id' }, {}, {}],
    });
    expect(shown.nodes[0]).toMatchObject({ node: 'n1', removed: 1, space: [{ path: cluster.root('n1') }] });
    expect(shown.nodes[1]).toMatchObject({ node: 'n2', fetchBytes: 0, removed: 0 });
    expect(prints()).toEqual(damaged);
    const { fetchBytes, kept } = shown as unknown as { fetchBytes: number; kept: number };
    expect(await cluster.does('restore', '--yes')).toMatchObject({ fetchedBytes: fetchBytes, kept, removed: 1 });
    expect(lost([n1!])).toEqual([]);

    const to = join(cluster.directory, 'swapped');
    const swapped = ['restore', '--map', 'n1=n2', '--map', 'n2=n1', '--node', 'n2', '--to', to];
    expect(await cluster.does(...swapped, '--dry-run')).toMatchObject({
      pairs: [{ from: 'n1', to: 'n2', how: 'map' }],
    });
    await cluster.does(...swapped);
    expect(differences(n1!, fingerprint(to))).toEqual([]);
    const refused = await cluster.homarus('restore', '--dry-run', '--map', 'n1=n2', '--map', 'n3=n2');
    expect(refused.json.error).toMatchObject({ code: 'BadInput', message: expect.stringContaining('map: n3=n2') });
  },
  LONG,
);

test(
  'a backup is estimated before it is made, node by node, and nothing changes by that; who is left out is named',
  async () => {
    await cluster.does('backup');
    const grown = join(cluster.root('n1'), 'estimated');
    writeFileSync(grown, randomBytes(3_000_000));
    const stored = storedFiles();
    const shown = (await cluster.does('backup', '--dry-run')) as { nodes: object[] };
    expect(shown).toMatchObject({
      dryRun: true,
      missing: [],
      wouldFail: [],
      changed: { files: 0 },
      storeAtMost: 3_000_000,
    });
    expect(shown.nodes[0]).toMatchObject({ node: 'n1', added: { files: 1, bytes: 3_000_000 }, storeAtMost: 3_000_000 });
    expect(shown.nodes[1]).toMatchObject({ node: 'n2', added: { files: 0 }, storeAtMost: 0 });
    expect(storedFiles()).toEqual(stored);
    expect(await holder()).toBeNull();
    expect(await cluster.does('backup', '--dry-run', '--without-node', 'n1')).toMatchObject({
      missing: ['n1'],
      storeAtMost: 0,
    });
    const { added } = (await cluster.does('backup')) as { added: number };
    expect(added).toBeGreaterThanOrEqual(3_000_000);
    expect(await cluster.does('backup', '--dry-run')).toMatchObject({ added: { files: 0 }, storeAtMost: 0 });
  },
  LONG,
);

test(
  'a workflow that somebody starts with what is no request fails at once and names the field, and nothing is done',
  async () => {
    const stored = storedFiles();
    for (const [kind, given, fault] of [
      ['backup', ['east', null], 'request is not an object'],
      ['restore', ['east'], 'request is not an object'],
      ['preview', ['east', { backup: 7 }], 'request.backup is not a text'],
      ['cleanup', ['east', { backups: ['../x'] }], 'request.backups[0] is not the name of a backup'],
      ['verify', [{ length: -1 }, {}], 'cluster is not a name'],
      ['lock', ['east', { for: 'ever', skipIfLocked: 1 }], 'request.skipIfLocked is not true or false'],
    ] as const) {
      const id = `${kind}-by-hand`;
      await cluster.client.workflow.start(kind, {
        workflowId: id,
        taskQueue: coordinatorQueue('east'),
        args: [...given],
      });
      expect(await cluster.end(id)).toMatchObject({
        state: 'failed',
        error: { code: 'BadInput', message: `input of ${kind}: ${fault}` },
      });
    }
    expect(await holder()).toBeNull();
    expect(storedFiles()).toEqual(stored);
  },
  LONG,
);

test(
  "Temporal's UI is told what each node is at, what it has done, and how fast",
  async () => {
    let id = '';
    const textOf = async (): Promise<string | undefined> => {
      const { raw } = await cluster.client.workflow.getHandle(id).describe();
      return (raw.pendingActivities ?? [])
        .flatMap(({ heartbeatDetails }) => heartbeatDetails?.payloads ?? [])
        .map((payload) => (defaultPayloadConverter.fromPayload(payload) as { text?: string }).text ?? '')
        .find((text) => /^n2: (starting|\d+ % of )/.test(text));
    };
    // A backup may be over before somebody looks: then another one is looked at.
    const seen = await comes(
      () => 'a heartbeat of n2',
      async () => {
        writeFileSync(join(cluster.root('n2'), 'told'), randomBytes(40_000_000));
        id = await cluster.begins('backup');
        for (;;) {
          const text = await textOf();
          if (text !== undefined || (await cluster.status(id)).state !== 'running') return text;
        }
      },
    );
    expect(seen).toMatch(/^n2: /);
    await cluster.end(id);
    const handle = cluster.client.workflow.getHandle(id);
    const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    expect(currentDetails).toMatch(/^\*\*done\*\*/);
    expect(currentDetails).toMatch(/^- snapshot: 3 nodes, 38\.\d MiB in \d+ s/m);
    expect(currentDetails).toMatch(/^- upload: 1 nodes, 38\.\d MiB in \d+ s/m);
    const summaries = ((await handle.fetchHistory()).events ?? []).flatMap(({ userMetadata }) =>
      userMetadata?.summary ? [String(defaultPayloadConverter.fromPayload(userMetadata.summary))] : [],
    );
    expect(summaries).toContainEqual(expect.stringMatching(/^n2: 38\.\d MiB to store$/));
    rmSync(join(cluster.root('n2'), 'told'));
  },
  LONG,
);

test(
  'of two backups at once one is refused, naming the other and since when, and does nothing',
  async () => {
    const before = await listed();
    const ids = await Promise.all([cluster.begins('backup'), cluster.begins('backup')]);
    const ended = await Promise.all(ids.map((id) => cluster.end(id)));
    const won = ended.find(({ state }) => state === 'succeeded');
    const refused = ended.find(({ state }) => state === 'failed');
    expect(refused?.error).toMatchObject({ code: 'LockHeld' });
    expect(refused?.error?.message).toMatch(
      new RegExp(`cluster "east" is locked by backup ${won?.id} \\(by tester\\), since \\d{4}-`),
    );
    expect((await listed()).length).toBe(before.length + 1);
    expect(await holder()).toBeNull();
  },
  LONG,
);

describe("an operator's lock", () => {
  test(
    'is refused while a backup runs, keeps backups out while it is held, and lets them in when it is released',
    async () => {
      const held = await cluster.does('lock', '--for', '1h');
      expect(await holder()).toMatchObject({ kind: 'lock', by: 'tester', operation: held.operation });
      const { exit, json } = await cluster.homarus('backup');
      expect(exit).toBe(11);
      expect(json.error).toMatchObject({
        code: 'LockHeld',
        message: expect.stringContaining(String(held.operation)),
      });
      const another = await cluster.homarus('lock', '--for', '1m');
      expect(another.json.error).toMatchObject({ code: 'LockHeld' });
      await cluster.does('unlock');
      expect(await holder()).toBeNull();
      await cluster.does('backup');
    },
    LONG,
  );

  test(
    'lets who waits for it on a terminal go on watching, cancel, or leave: Ctrl-C asks, and once more it leaves',
    async () => {
      await cluster.does('lock', '--for', '1h');
      const waiting = () => onTerminal(cluster.commandLine('backup', '--wait-for-lock', '1h'));
      const cancelled = waiting();
      await cancelled.shows(/waiting for the lock/);
      cancelled.types('\x03');
      await cancelled.shows(/still runs\..*w, l or c\? /s);
      cancelled.types('w\r');
      await cancelled.shows(/w, l or c\? .*waiting for the lock/s);
      cancelled.types('\x03');
      await cancelled.shows(/w, l or c\? .*w, l or c\? /s);
      cancelled.types('c\r');
      expect(await cancelled.exit).toBe(4);

      const left = waiting();
      await left.shows(/waiting for the lock/);
      left.types('\x03');
      await left.shows(/w, l or c\? /);
      left.types('\x03');
      const [, id = ''] = await left.shows(/homarus cancel (backup-\S+)/);
      expect(await left.exit).toBe(130);
      expect((await cluster.status(id)).state).toBe('running');
      await cluster.does('unlock');
      expect(await cluster.end(id)).toMatchObject({ state: 'succeeded' });
    },
    2 * LONG,
  );

  test(
    'ends by itself after its time, and who waits for it goes on',
    async () => {
      const held = await cluster.does('lock', '--for', '3s');
      await cluster.does('backup', '--wait-for-lock', '1m');
      expect(await cluster.end(held.operation as string)).toMatchObject({ result: { ended: 'expired' } });
      expect(await holder()).toBeNull();
    },
    LONG,
  );
});

test(
  'a cancelled backup leaves an unlocked cluster, no links and no backup',
  async () => {
    const before = await listed();
    writeFileSync(join(cluster.root('n2'), 'new'), randomBytes(1_000_000));
    const id = await cluster.begins('backup');
    await cluster.until(id, ({ progress }) => progress?.phase === 'snapshot');
    // A stopped node keeps the backup from ending before the cancellation comes.
    cluster.process('n2').kill('SIGSTOP');
    await cluster.does('cancel', id, '--no-wait');
    cluster.process('n2').kill('SIGCONT');
    expect(await cluster.end(id)).toMatchObject({ state: 'cancelled', error: { code: 'Cancelled' } });
    expect((await listed()).length).toBe(before.length);
    expect(await holder()).toBeNull();
    for (const node of cluster.nodes) {
      expect(readdirSync(join(cluster.root(node), '.homarus'))).not.toContainEqual(expect.stringContaining(id));
    }
    await cluster.does('backup');
  },
  LONG,
);

test(
  'Ctrl-C leaves a backup running, and says how to follow and how to cancel it',
  async () => {
    // Enough to do that it is not over before the signal comes.
    const large = join(cluster.root('n2'), 'large');
    for (let part = 0; part < 8; part++) writeFileSync(large, randomBytes(8_000_000), { flag: 'a' });
    const child = cluster.command('backup', '--label', 'left alone');
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (said === '') child.kill('SIGINT');
      said += text;
    });
    expect(await once(child, 'exit')).toEqual([130, null]);
    const id = /homarus follow (\S+)/.exec(said)?.[1] ?? '';
    expect(said).toContain(`homarus cancel ${id}`);
    expect(said).toContain(`temporal workflow cancel --workflow-id ${id}`);
    const followed = await cluster.does('follow', id);
    expect(followed).toMatchObject({ operation: id, state: 'succeeded' });
    expect((await cluster.does('show', 'latest')).label).toBe('left alone');
  },
  LONG,
);

test(
  'a node that is down is named, and nothing else happens',
  async () => {
    const before = await listed();
    await cluster.kill('n3');
    const { exit, json } = await cluster.homarus('backup');
    expect(exit).toBe(13);
    expect(json.error).toMatchObject({ code: 'NodeUnavailable', message: expect.stringContaining('node n3') });
    expect(await holder()).toBeNull();
    await cluster.launch('n3');
    await cluster.does('backup');
    expect((await listed()).length).toBe(before.length + 1);
  },
  LONG,
);

test(
  'a cleanup removes what retention lets go, and a deletion what it is told, with everything that no backup needs',
  async () => {
    const dry = await cluster.does('cleanup', '--keep-last', '1', '--dry-run');
    const all = await listed();
    expect((dry.verdicts as { keep: boolean }[]).filter(({ keep }) => keep).length).toBe(1);
    expect((await listed()).length).toBe(all.length);
    await cluster.does('pin', all[1]!.name);
    await cluster.does('cleanup', '--keep-last', '1', '--yes');
    expect((await listed()).map(({ name }) => name)).toEqual([all[0]!.name, all[1]!.name]);
    const refused = await cluster.homarus('delete', all[1]!.name, '--yes');
    expect(refused.json.error?.message).toContain('pinned');
    await cluster.does('unpin', all[1]!.name);
    await cluster.does('delete', all[0]!.name, all[1]!.name, '--yes');
    expect(await listed()).toEqual([]);
    await cluster.does('cleanup', '--orphans', '--yes');
    expect(storedFiles().filter((name) => /^(packs|indexes|manifests|staging)\/.*\//.test(name))).toEqual([]);
  },
  LONG,
);

test(
  'the facade starts one backup for one key, and shows it until it ends',
  async () => {
    await cluster.launch('api');
    const post = async () => {
      const answer = await fetch(`${cluster.api}/v1/backups`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': 'tonight' },
        body: JSON.stringify({ label: 'by REST' }),
      });
      expect(answer.status).toBe(202);
      return ((await answer.json()) as { operation: string }).operation;
    };
    const id = await post();
    expect(await post()).toBe(id);
    const shown = async () => (await (await fetch(`${cluster.api}/v1/operations/${id}`)).json()) as { state: string };
    expect(['running', 'succeeded']).toContain((await shown()).state);
    await cluster.end(id);
    expect(await shown()).toMatchObject({ state: 'succeeded', kind: 'backup', result: { nodes: 3 } });
    const { backups } = (await (await fetch(`${cluster.api}/v1/backups`)).json()) as { backups: { label: string }[] };
    expect(backups.filter(({ label }) => label === 'by REST').length).toBe(1);
    expect((await fetch(`${cluster.api}/ready`)).status).toBe(200);
  },
  LONG,
);

test(
  'extract, list, show and ls need no Temporal',
  async () => {
    await cluster.does('backup');
    await cluster.killTemporal();
    try {
      const to = join(cluster.directory, 'extracted');
      await cluster.does('extract', 'latest', '--node', 'n2', '--to', to);
      expect(differences(fingerprint(cluster.root('n2')), fingerprint(to)).filter((path) => path !== '')).toEqual([]);
      expect((await listed()).length).toBe(2);
      const { entries } = (await cluster.does('ls', 'latest', 'log', '--node', 'n1')) as {
        entries: { path: string }[];
      };
      expect(entries.map(({ path }) => path)).toEqual(['log', 'log/commit-0001.log', 'log/current']);
      expect(await cluster.does('show', 'latest')).toMatchObject({
        manifest: { nodes: [{ id: 'n1' }, { id: 'n2' }, { id: 'n3' }] },
      });
      const { json, exit } = await cluster.homarus('backup');
      expect(json.error).toMatchObject({ code: 'TemporalUnreachable' });
      expect(exit).toBe(3);
    } finally {
      await cluster.startTemporalAgain();
    }
  },
  LONG,
);

test(
  'an unreadable root fails the backup, naming it, and frees the cluster',
  async () => {
    const root = cluster.root('n1');
    rmSync(root, { recursive: true });
    writeFileSync(root, 'a file where a directory was');
    const { json } = await cluster.homarus('backup');
    expect(json.error?.message).toContain(root);
    expect(await holder()).toBeNull();
    rmSync(root);
    mkdirSync(root);
  },
  LONG,
);
