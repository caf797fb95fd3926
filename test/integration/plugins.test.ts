import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { TestCluster } from '../support/cluster.ts';
import { EtcdCluster } from '../support/etcd.ts';

/** Plugins in whole operations on real processes: their order, their clean-up, and what is seen of their secrets. */

const LONG = 240_000;
const LOCK = { ttl: '8s', refresh: '1s', heartbeat: '4s', throttle: '500ms' };
const example = fileURLToPath(new URL('../../examples/plugin', import.meta.url));

describe('commands', () => {
  let cluster: TestCluster;
  const trace = (node: string): string[] => {
    const file = join(cluster.directory, `trace-${node}`);
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  };
  const forget = (): void => {
    for (const node of cluster.nodes) rmSync(join(cluster.directory, `trace-${node}`), { force: true });
  };

  beforeAll(async () => {
    cluster = await TestCluster.start({
      storage: 'files',
      nodes: ['n1', 'n2'],
      lock: LOCK,
      more: ({ directory }) => {
        const say = (what: string, more = '') => ({
          shell: `echo "${what}" >> ${directory}/trace-$HOMARUS_NODE; ${more}`,
        });
        return {
          attempts: { backup: 1 },
          plugin: {
            name: 'commands',
            options: {
              beforeSnapshot: [
                say('freeze', `test ! -e ${directory}/no-$HOMARUS_NODE || { echo cannot freeze; exit 3; }`),
                { ...say('slow', `test ! -e ${directory}/slow || sleep 60`), on: 'n1' },
              ],
              afterSnapshot: [say('thaw $TEST_SECRET')],
              beforeRestore: [say('stop')],
              afterRestore: [{ ...say('start'), on: 'first' }],
              check: [
                say(
                  'check',
                  `echo "it is $(cat $HOMARUS_ROOT/file)"; test "$(cat $HOMARUS_ROOT/file)" = $HOMARUS_NODE`,
                ),
              ],
            },
          },
        };
      },
    });
    for (const node of cluster.nodes) writeFileSync(join(cluster.root(node), 'file'), node);
  }, LONG);
  afterAll(() => cluster?.stop(), LONG);

  test(
    'run in their order on the nodes that they are for, without our environment',
    async () => {
      forget();
      await cluster.does('backup');
      expect(trace('n1')).toEqual(['freeze', 'slow', 'thaw']);
      expect(trace('n2')).toEqual(['freeze', 'thaw']);
      forget();
      rmSync(join(cluster.root('n2'), 'file'));
      await cluster.does('restore', 'latest', '--yes');
      expect([trace('n1'), trace('n2')]).toEqual([['stop', 'start'], ['stop']]);
      expect(readFileSync(join(cluster.root('n2'), 'file'), 'utf8')).toBe('n2');
      forget();
      await cluster.does('restore', 'latest', '--node', 'n1', '--to', join(cluster.directory, 'elsewhere'));
      expect(trace('n1')).toEqual([]);
    },
    LONG,
  );

  test(
    'the check proves what was restored, in place, elsewhere or in a drill, and fails it with its words',
    async () => {
      forget();
      const restored = await cluster.does('restore', 'latest', '--yes', '--check');
      expect(restored).toMatchObject({ checked: true });
      expect([trace('n1'), trace('n2')]).toEqual([
        ['stop', 'start', 'check'],
        ['stop', 'check'],
      ]);
      forget();
      const to = join(cluster.directory, 'drill');
      expect(await cluster.does('restore', 'latest', '--node', 'n2', '--to', to, '--check')).toMatchObject({
        checked: true,
      });
      expect([trace('n1'), trace('n2')]).toEqual([[], ['check']]);
      forget();
      expect(await cluster.does('drill', '--check')).toMatchObject({ checked: true });
      expect([trace('n1'), trace('n2')]).toEqual([['check'], ['check']]);

      writeFileSync(join(cluster.root('n2'), 'file'), 'not n2');
      await cluster.does('backup', '--label', 'broken');
      writeFileSync(join(cluster.root('n2'), 'file'), 'n2');
      const { json } = await cluster.homarus('restore', 'latest', '--node', 'n2', '--to', to, '--check');
      expect(json.error).toMatchObject({
        code: 'PluginFailed',
        message: expect.stringMatching(/commands on node n2: check: .* ended with 1; its last words:\nit is not n2/s),
      });
      const drilled = await cluster.homarus('drill', 'latest', '--check');
      expect(drilled.json.error).toMatchObject({
        code: 'PluginFailed',
        message: expect.stringContaining('commands on node n2: check:'),
      });
      const { backups } = (await cluster.does('list')) as { backups: { label: string; drill: object | null }[] };
      expect(backups.find(({ label }) => label === 'broken')).toMatchObject({
        drill: { ok: false, reason: expect.stringContaining('it is not n2') },
      });
      await cluster.does('backup');
    },
    LONG,
  );

  test(
    'one that fails fails the backup with its last words, and what was frozen is thawed on every node',
    async () => {
      forget();
      writeFileSync(join(cluster.directory, 'no-n2'), '');
      const { exit, json } = await cluster.homarus('backup');
      rmSync(join(cluster.directory, 'no-n2'));
      expect(exit).toBe(26);
      expect(json.error).toMatchObject({ code: 'PluginFailed' });
      expect(json.error?.message).toMatch(
        /commands on node n2: beforeSnapshot: .* ended with 3; its last words:\ncannot freeze/s,
      );
      expect(trace('n1').at(-1)).toBe('thaw');
      expect(trace('n2').at(-1)).toBe('thaw');
    },
    LONG,
  );

  test(
    'a backup that is cancelled while they run ends at once, and thaws',
    async () => {
      forget();
      writeFileSync(join(cluster.directory, 'slow'), '');
      const id = await cluster.begins('backup');
      await cluster.until(id, () => trace('n1').includes('slow'));
      await cluster.does('cancel', id);
      expect((await cluster.end(id)).state).toBe('cancelled');
      expect(trace('n1').at(-1)).toBe('thaw');
      expect(trace('n2').at(-1)).toBe('thaw');
    },
    LONG,
  );

  test(
    'a node that loses its lock, or is killed while frozen, thaws by itself',
    async () => {
      forget();
      const id = await cluster.begins('backup');
      await cluster.until(id, () => trace('n1').includes('slow') && trace('n2').includes('freeze'));
      await cluster.kill('n2');
      await cluster.killTemporal();
      await untilTrue(() => trace('n1').at(-1) === 'thaw');
      rmSync(join(cluster.directory, 'slow'));
      expect(trace('n2').at(-1)).toBe('freeze');
      await cluster.startTemporalAgain();
      await cluster.launch('n2');
      await untilTrue(() => trace('n2').at(-1) === 'thaw');
      expect((await cluster.end(id)).state).toBe('failed');
      await cluster.does('backup', '--wait-for-lock', '1m');
    },
    LONG,
  );
});

async function untilTrue(fits: () => boolean): Promise<void> {
  while (!fits()) await new Promise((resolve) => setTimeout(resolve, 100));
}

describe('a plugin from outside', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await TestCluster.start({
      storage: 'files',
      nodes: ['n1', 'n2'],
      lock: LOCK,
      before: (one) => {
        for (const node of one.nodes) writeFileSync(join(one.root(node), 'VERSION'), `7 of ${node}\n`);
      },
      more: { plugin: { name: 'ledger', package: example, options: { holdFile: 'pause' } } },
    });
  }, LONG);
  afterAll(() => cluster?.stop(), LONG);

  test(
    'is bundled with the workflows, loaded by the nodes, backs up and restores',
    async () => {
      const { backup } = await cluster.does('backup');
      for (const node of cluster.nodes) expect(existsSync(join(cluster.root(node), 'pause'))).toBe(false);
      const shown = JSON.stringify(await cluster.does('show', String(backup)));
      expect(shown).toContain('ledger');
      writeFileSync(join(cluster.root('n1'), 'ledger.pid'), '1');
      const { json } = await cluster.homarus('restore', 'latest', '--yes');
      expect(json.error?.message).toBe(
        'plugin ledger on node n1: the ledger runs on the files that are to be restored',
      );
      expect(json.error?.hint).toBe('Stop it on every node.');
      rmSync(join(cluster.root('n1'), 'ledger.pid'));
      const restored = await cluster.does('restore', 'latest', '--yes');
      expect(restored.result ?? restored).toMatchObject({ plugin: { versions: { n1: '7 of n1', n2: '7 of n2' } } });
      const to = join(cluster.directory, 'drill');
      expect(await cluster.does('restore', '--to', to, '--node', 'n1', '--check')).toMatchObject({ checked: true });
    },
    LONG,
  );

  test(
    'faults of its options are named by their path, and a node with another plugin is refused at the lock',
    async () => {
      const config = JSON.parse(readFileSync(cluster.configFile, 'utf8'));
      const other = join(cluster.directory, 'other.json');
      const write = (plugin: object): void => writeFileSync(other, JSON.stringify({ ...config, plugin }));
      write({ ...config.plugin, options: { holdFile: 'a/b', more: 1 } });
      const { json } = await cluster.homarus('config', 'check', '--config', other);
      expect(json.error?.message).toContain('plugin.options.holdFile: give the name of a file');
      expect(json.error?.message).toContain('plugin.options.more: there is no such field');

      await cluster.kill('n2');
      const before = readFileSync(cluster.configFile, 'utf8');
      writeFileSync(cluster.configFile, JSON.stringify({ ...config, plugin: { name: 'files' } }));
      await cluster.launch('n2');
      const refused = await cluster.homarus('backup');
      expect(refused.json.error).toMatchObject({ code: 'PluginMismatch' });
      expect(refused.json.error?.message).toMatch(/node n2 runs plugin "files" in version 1, .* "ledger" in version 1/);
      writeFileSync(cluster.configFile, before);
    },
    LONG,
  );

  test(
    'a newer version is refused at the lock by a node that has the older one, and so is its backup later',
    async () => {
      const before = readFileSync(cluster.configFile, 'utf8');
      const newer = join(cluster.directory, 'newer');
      cpSync(example, newer, { recursive: true });
      const flow = readFileSync(join(newer, 'flow.js'), 'utf8');
      writeFileSync(join(newer, 'flow.js'), flow.replace('version: 1', 'version: 2'));
      writeFileSync(join(newer, 'package.json'), '{"type":"module"}');
      const config = JSON.parse(before);
      const use = async (folder: string, ...processes: string[]): Promise<void> => {
        const plugin = { ...config.plugin, package: folder };
        writeFileSync(cluster.configFile, JSON.stringify({ ...config, plugin }));
        for (const name of processes) await cluster.kill(name);
        await Promise.all(processes.map((name) => cluster.launch(name)));
      };
      await use(example, 'n2');
      await use(newer, 'n1', 'coordinator');
      const { json } = await cluster.homarus('backup');
      expect(json.error).toMatchObject({
        code: 'PluginMismatch',
        message: 'node n2 runs plugin "ledger" in version 1, the coordinator "ledger" in version 2',
      });
      await use(newer, 'n2');
      const { backup } = await cluster.does('backup');
      await use(example, 'n1', 'n2', 'coordinator');
      const older = await cluster.homarus('restore', String(backup), '--yes');
      expect(older.json.error).toMatchObject({
        code: 'PluginTooOld',
        message: `backup ${backup} was made by plugin "ledger" in version 2; this one has version 1`,
      });
      // Its files are files all the same.
      const to = join(cluster.directory, 'files');
      expect(await cluster.does('restore', String(backup), '--node', 'n1', '--to', to)).toMatchObject({ files: 1 });
    },
    LONG,
  );

  test(
    'one whose flow does I/O is refused when the coordinator starts',
    async () => {
      const folder = join(cluster.directory, 'bad');
      mkdirSync(folder);
      writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
      writeFileSync(
        join(folder, 'flow.js'),
        "import { readFileSync } from 'node:fs';\nexport const flow = { name: 'bad', version: 1, activities: {}, backup() { readFileSync('/'); }, restore() {} };\n",
      );
      const config = JSON.parse(readFileSync(cluster.configFile, 'utf8'));
      const file = join(cluster.directory, 'bad.json');
      writeFileSync(file, JSON.stringify({ ...config, plugin: { name: 'bad', package: folder } }));
      const { json } = await cluster.homarus('coordinator', '--config', file);
      expect(json.error).toMatchObject({ code: 'ConfigInvalid' });
      expect(json.error?.message).toContain('cannot be bundled');
    },
    LONG,
  );
});

describe('etcd', () => {
  let etcd: EtcdCluster;
  let cluster: TestCluster;

  beforeAll(async () => {
    etcd = await EtcdCluster.start(3);
    process.env.TEST_ETCD_PASSWORD = 'a-secret-that-nobody-sees';
    cluster = await TestCluster.start({
      storage: 'files',
      nodes: ['n1'],
      lock: LOCK,
      more: { plugin: { name: 'etcd', options: { endpoints: etcd.endpoints, prefixes: ['app/'], member: true } } },
    });
    writeFileSync(join(cluster.root('n1'), 'file'), 'x');
  }, LONG);
  afterAll(async () => {
    await cluster?.stop();
    await etcd?.stop();
  }, LONG);

  test(
    'is backed up beside the files and restored after them, the database of a member beside it',
    async () => {
      await etcd.client.put('app/1').value('one');
      await etcd.client.put('other/1').value('beside the prefixes');
      const { backup } = await cluster.does('backup');
      await etcd.client.put('app/1').value('two');
      await etcd.client.put('app/2').value('extra');
      const partial = await cluster.does('restore', String(backup), '--yes', '--path', 'file');
      expect(partial.plugin).toBeUndefined();
      expect(await etcd.client.get('app/1').string()).toBe('two');
      const changes = { put: 1, deleted: 1, named: ['put app/1', 'delete app/2'] };
      const shown = await cluster.does('restore', String(backup), '--dry-run');
      expect(shown).toMatchObject({ plugin: { ...changes, summary: expect.stringContaining('1 keys would be put') } });
      expect(await etcd.client.get('app/1').string()).toBe('two');
      const restored = await cluster.does('restore', String(backup), '--yes');
      expect(restored).toMatchObject({ plugin: changes });
      expect(await etcd.client.get('app/1').string()).toBe('one');
      expect(await cluster.does('restore', String(backup), '--yes', '--check')).toMatchObject({ checked: true });
      const file = join(cluster.directory, 'member.db');
      const { streams } = (await cluster.does('show', String(backup))).manifest as { streams: { name: string }[] };
      expect(streams.map(({ name }) => name)).toEqual(['etcd-keys', 'etcd-member']);
      await cluster.does('extract', String(backup), '--stream', 'etcd-member', '--to', file);
      const alone = await EtcdCluster.start(1, { snapshot: file });
      const found = await alone.client.getAll().strings();
      await alone.stop();
      // The whole database, which knows more than the prefixes.
      expect(found).toEqual({ 'app/1': 'one', 'other/1': 'beside the prefixes' });
      const none = await cluster.homarus('extract', String(backup), '--stream', 'none', '--to', file);
      expect(none.json.error?.message).toBe(`backup ${backup} has no stream "none"; it has etcd-keys, etcd-member`);

      // Left alone, it need not be as it was: that the backup can be read is what is proven then.
      await etcd.client.put('app/1').value('three');
      const to = join(cluster.directory, 'elsewhere');
      expect(await cluster.does('restore', String(backup), '--to', to, '--check')).toMatchObject({ checked: true });
    },
    LONG,
  );
});
