import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { findConfigFile, loadConfig, parseConfig, showConfig } from '../src/config.ts';
import type { HomarusError } from '../src/domain/errors.ts';
import { temporalTarget } from '../src/temporalTarget.ts';

interface Document {
  [field: string]: unknown;
}

const valid = (): Document => ({
  cluster: 'prod',
  storages: { main: { type: 'files', path: '/mnt/backups' } },
  nodes: [
    { id: 'a', root: '/data' },
    { id: 'b', root: '/data' },
  ],
});

const parsed = (change: Document) => parseConfig(JSON.stringify({ ...valid(), ...change }), 'homarus.json');

function faults(change: Document): string[] {
  try {
    parsed(change);
  } catch (error) {
    expect(error).toMatchObject({ code: 'ConfigInvalid' });
    return (error as HomarusError).message
      .split('\n')
      .slice(1)
      .map((line) => line.trim());
  }
  throw new Error('it has no fault');
}

test('a short configuration is filled with defaults', () => {
  const config = parsed({});
  expect(config).toMatchObject({
    defaultStorage: 'main',
    attempts: { backup: 5 },
    lock: { ttl: 120_000, refresh: 10_000, heartbeat: 30_000, throttle: 2_000 },
    api: { host: '127.0.0.1', port: 5515 },
    plugin: { name: 'files', options: { include: [], exclude: [], onUnreadable: 'fail' } },
    retention: {},
  });
  expect(config.nodes[0]).toEqual({
    id: 'a',
    az: '',
    roots: [{ name: 'data', path: '/data', linkDir: '/data/.homarus' }],
    stateDir: '/var/lib/homarus/nodes/a',
    cacheDir: '/var/lib/homarus/cache/a',
  });
});

test('several roots are written by name, or as a list', () => {
  const byName = parsed({ nodes: [{ id: 'a', roots: { data: '/d', wal: '/w/' } }] });
  const list = [
    { name: 'data', path: '/d' },
    { name: 'wal', path: '/w' },
  ];
  expect(parsed({ nodes: [{ id: 'a', roots: list }] }).nodes).toEqual(byName.nodes);
  expect(byName.nodes[0]?.roots[1]).toEqual({ name: 'wal', path: '/w', linkDir: '/w/.homarus' });
});

test('every example loads, and what is shown of it holds no secret', async () => {
  const directory = new URL('../examples/', import.meta.url).pathname;
  const files = readdirSync(directory).filter((name) => name.endsWith('.yaml'));
  expect(files.length).toBeGreaterThanOrEqual(3);
  for (const name of files) {
    const config = await loadConfig(join(directory, name));
    expect(Object.keys(showConfig(config))).toContain('nodes');
  }
  for (const name of readdirSync(directory).filter((file) => file.endsWith('.json'))) {
    expect(JSON.parse(readFileSync(join(directory, name), 'utf8'))).toHaveProperty('Statement');
  }
});

describe('what is refused, with the path of the field and what would be right:', () => {
  const table: [string, Document, string | RegExp][] = [
    ['an unknown field', { nodez: [] }, 'nodez: there is no such field; did you mean "nodes"?'],
    ['one further down', { lock: { tll: '2m' } }, 'lock.tll: there is no such field; did you mean "ttl"?'],
    [
      'one of a node',
      { nodes: [{ id: 'a', root: '/d', rot: '/d' }] },
      /^nodes\[0\]\.rot: there is no such field; did you mean "root"\?/,
    ],
    [
      'one of a storage',
      { storages: { main: { type: 'files', pfad: '/x', path: '/x' } } },
      /^storages\.main\.pfad: there is no such field; there is type, path/,
    ],
    [
      'two keys of one storage',
      { storages: { main: { type: 'files', path: '/x', encryption: { keyFile: '/k', passphraseEnv: 'P' } } } },
      'storages.main.encryption: give one of passphraseFile, passphraseEnv, passphraseCommand and keyFile',
    ],
    [
      'an encryption without a key',
      { storages: { main: { type: 'files', path: '/x', encryption: {} } } },
      'storages.main.encryption: give one of passphraseFile, passphraseEnv, passphraseCommand and keyFile',
    ],
    [
      'a limit that is no size',
      { parallelism: { uploadBytesPerSecond: '50MB' } },
      /^parallelism\.uploadBytesPerSecond: "50MB" is no size/,
    ],
    [
      'a limit that is too low',
      { parallelism: { uploadBytesPerSecond: '1B' } },
      'parallelism.uploadBytesPerSecond: must be at least 1KiB',
    ],
    [
      'an unknown priority',
      { parallelism: { ionice: 'realtime' } },
      'parallelism.ionice: give idle, or a level from 0 to 7',
    ],
    [
      'a password in the address of a proxy',
      { storages: { main: { type: 's3', bucket: 'b', proxy: 'http://me:secret@proxy:3128' } } },
      /^storages\.main\.proxy: secrets do not stand in this file/,
    ],
    [
      'a key of KMS for another kind of encryption',
      { storages: { main: { type: 's3', bucket: 'b', sse: { type: 'AES256', kmsKeyId: 'k' } } } },
      /^storages\.main\.sse: kmsKeyId goes with type aws:kms/,
    ],
    ['a wrong type', { cluster: 7 }, 'cluster: expected string, received number'],
    ['a name that is none', { cluster: 'a/b' }, /^cluster: give 1 to 63 of/],
    ['no nodes', { nodes: [] }, 'nodes: name at least one node'],
    ['a node without a root', { nodes: [{ id: 'a' }] }, 'nodes[0]: give root, or roots: one of them'],
    [
      'a node id that is taken',
      {
        nodes: [
          { id: 'a', root: '/d' },
          { id: 'a', root: '/d' },
        ],
      },
      'nodes[1].id: "a" is taken by nodes[0]; ids are unique',
    ],
    ['a relative path', { nodes: [{ id: 'a', root: 'data' }] }, /^nodes\[0\]\.root: give an absolute path/],
    [
      'a path with ..',
      { nodes: [{ id: 'a', root: '/data/../etc' }] },
      'nodes[0].root: give a path without "." and ".."',
    ],
    [
      'a root inside of another of the node',
      { nodes: [{ id: 'a', roots: { x: '/d', y: '/d/sub' } }] },
      /^nodes\[0\]\.roots\.y: \/d\/sub is inside of root x of node a, \/d/,
    ],
    [
      'a root inside of that of another node',
      {
        nodes: [
          { id: 'a', root: '/d' },
          { id: 'b', root: '/d/b' },
        ],
      },
      /^nodes\[1\]\.root: \/d\/b is inside of the root of node a/,
    ],
    [
      'the same root twice',
      { nodes: [{ id: 'a', roots: { x: '/d', y: '/d' } }] },
      /^nodes\[0\]\.roots\.y: \/d is inside of root x/,
    ],
    [
      'a storage inside of a root',
      { storages: { main: { type: 'files', path: '/data/backups' } } },
      /^storages\.main\.path: it and the root of node a, \/data, overlap/,
    ],
    [
      'a state directory around a root',
      { nodes: [{ id: 'a', root: '/d/x', stateDir: '/d' }] },
      /^nodes\[0\]\.stateDir: it holds the root of node a/,
    ],
    [
      'an unknown kind of storage',
      { storages: { main: { type: 'ftp' } } },
      'storages.main.type: type must be files or s3',
    ],
    ['no storage', { storages: {} }, 'storages: name at least one storage'],
    [
      'a default storage that does not exist',
      { defaultStorage: 'other' },
      'defaultStorage: there is no storage of this name; there is main',
    ],
    [
      'several storages without a default one',
      { storages: { a: { type: 'files', path: '/a' }, b: { type: 'files', path: '/b' } } },
      'defaultStorage: is missing; choose one of a, b',
    ],
    ['no duration', { lock: { ttl: 5 } }, 'lock.ttl: give a duration such as 90s, 5m, 1h or 2d'],
    [
      'lock times that contradict each other',
      { lock: { refresh: '1m' } },
      'lock.refresh: must be at most a third of lock.ttl, 40 s',
    ],
    [
      'a minimum above the maximum',
      { retention: { minimumBackups: 5, maximumBackups: 2 } },
      'retention.minimumBackups: must not be greater than maximumBackups, 2',
    ],
    ['a facade for everybody', { api: { host: '0.0.0.0' } }, /^api\.host: without api\.tokens everybody who reaches/],
    [
      'half of credentials',
      { storages: { main: { type: 's3', bucket: 'b', credentials: { accessKeyIdEnv: 'A' } } } },
      /^storages\.main\.credentials: give accessKeyIdEnv and secretAccessKeyEnv, or file/,
    ],
    [
      'a glob that leads out of the root',
      { plugin: { options: { exclude: ['tmp', '../x'] } } },
      /^plugin\.options\.exclude\[1\]: "\.\.\/x" matches nothing below a root/,
    ],
    [
      'a bucket that is missing',
      { storages: { main: { type: 's3' } } },
      'storages.main.bucket: is missing; expected string',
    ],
  ];
  test.each(table)('%s', (_, change, fault) => {
    const found = faults(change);
    if (typeof fault === 'string') expect(found).toEqual([fault]);
    else expect(found[0]).toMatch(fault);
    expect(found.length).toBe(1);
  });

  test('all faults at once, in the order of the file', () => {
    const found = faults({ cluster: 1, extra: 1, nodes: [{ id: 'a', root: 'x' }] });
    expect(found.map((line) => line.split(':')[0])).toEqual(['cluster', 'nodes[0].root', 'extra']);
  });

  test('a secret, whose value no message tells', () => {
    const secret = 'AKIA-very-secret';
    const storages = {
      main: {
        type: 's3',
        bucket: 'b',
        credentials: { accessKeyId: secret, secretAccessKey: secret },
        encryption: { passphrase: secret },
      },
    };
    const found = faults({ storages, temporal: { apiKey: secret } });
    expect(found).toContain('temporal.apiKey: secrets do not stand in this file; use apiKeyEnv or apiKeyFile');
    expect(found).toContain(
      'storages.main.credentials.accessKeyId: secrets do not stand in this file; use accessKeyIdEnv',
    );
    expect(found).toContain(
      'storages.main.encryption.passphrase: secrets do not stand in this file; use passphraseFile, passphraseEnv or passphraseCommand',
    );
    expect(found.join()).not.toContain(secret);
  });

  test('text that is no YAML, a field that is there twice, and an empty file', () => {
    const message = (text: string): string => {
      try {
        parseConfig(text, 'x.yaml');
      } catch (error) {
        return (error as HomarusError).message;
      }
      return '';
    };
    expect(message('cluster: [')).toMatch(/^x\.yaml has .*\n {2}line 1: /);
    expect(message('cluster: a\ncluster: b\n')).toMatch(/line 2: Map keys must be unique/);
    expect(message('')).toMatch(/it holds no fields/);
  });
});

describe('the file', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'homarus-config-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test('is the one given, else that of HOMARUS_CONFIG, else the one of the directory', () => {
    expect(() => findConfigFile(undefined, {}, directory)).toThrow(/there is no configuration: .*homarus\.yaml in/);
    writeFileSync(join(directory, 'homarus.yaml'), '');
    expect(findConfigFile(undefined, {}, directory)).toBe(join(directory, 'homarus.yaml'));
    expect(findConfigFile(undefined, { HOMARUS_CONFIG: '/etc/h.yaml' }, directory)).toBe('/etc/h.yaml');
    expect(findConfigFile('own.yaml', { HOMARUS_CONFIG: '/etc/h.yaml' }, directory)).toBe(join(directory, 'own.yaml'));
  });

  test('that cannot be read is named', async () => {
    await expect(loadConfig(join(directory, 'none.yaml'))).rejects.toMatchObject({
      code: 'ConfigInvalid',
      message: expect.stringContaining('none.yaml'),
    });
  });
});

describe('where Temporal is', () => {
  const kept = { ...process.env };
  let profiles: string;
  beforeEach(() => {
    profiles = join(mkdtempSync(join(tmpdir(), 'homarus-profiles-')), 'temporal.toml');
    writeFileSync(
      profiles,
      '[profile.default]\n[profile.prod]\naddress = "profile:7233"\nnamespace = "profile-space"\n',
    );
    process.env = { ...kept, TEMPORAL_CONFIG_FILE: profiles };
  });
  afterEach(() => {
    process.env = kept;
    rmSync(dirname(profiles), { recursive: true });
  });

  test('may come from a profile of Temporal', () => {
    expect(temporalTarget(parsed({ temporal: { profile: 'prod' } }))).toMatchObject({
      namespace: 'profile-space',
      connectionOptions: { address: 'profile:7233' },
    });
  });

  test('comes from the file, else from the environment of Temporal, else it is this machine', () => {
    expect(temporalTarget(parsed({}))).toMatchObject({
      namespace: 'default',
      connectionOptions: { address: 'localhost:7233' },
    });
    process.env.TEMPORAL_ADDRESS = 'env:7233';
    process.env.TEMPORAL_NAMESPACE = 'env-space';
    expect(temporalTarget(parsed({}))).toMatchObject({
      namespace: 'env-space',
      connectionOptions: { address: 'env:7233' },
    });
    expect(temporalTarget(parsed({ temporal: { address: 'file:7233' } }))).toMatchObject({
      namespace: 'env-space',
      connectionOptions: { address: 'file:7233' },
    });
  });

  test('its API key comes from a variable; one that is not set is named', () => {
    const config = parsed({ temporal: { apiKeyEnv: 'MY_KEY' } });
    expect(() => temporalTarget(config)).toThrow('temporal.apiKeyEnv: set MY_KEY in the environment');
    process.env.MY_KEY = 'k';
    expect(temporalTarget(config).connectionOptions.apiKey).toBe('k');
  });
});
