import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { commands } from '../../src/cli/commands.ts';
import { frameOf, plainLine } from '../../src/cli/progressLines.ts';
import { progressView } from '../../src/cli/progressView.ts';
import { runCommandLine } from '../../src/cli/run.ts';
import type { Terminal } from '../../src/cli/terminal.ts';
import type { OperationStatus } from '../../src/client/progress.ts';
import { errorTable } from '../../src/domain/errors.ts';
import { createRepository } from '../../src/storage/create.ts';
import { FileStore } from '../../src/storage/fileStore.ts';
import { openRepository } from '../../src/storage/repository.ts';
import { backUp, givenNode } from '../support/backUp.ts';
import { givenContext } from '../support/jobs.ts';
import { makeTree } from '../support/trees.ts';

/** A stream of the backup: of several chunks. */
const DUMP = Buffer.alloc(20_000_000, 'a dump of something');
let base: string;
let configFile: string;

interface Ran {
  exit: number;
  stdout: string;
  stderr: string;
}

/** Runs a command in this process, as from a pipe. */
async function run(...args: string[]): Promise<Ran> {
  const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
  streams.stdin.end();
  const terminal: Terminal = { ...streams, env: { HOMARUS_CONFIG: configFile, USER: 'tester' } };
  const exit = await runCommandLine(commands, args, terminal);
  const [stdout, stderr] = [streams.stdout, streams.stderr].map((stream) => {
    stream.end();
    return (stream.read() as Buffer | null)?.toString() ?? '';
  });
  return { exit, stdout: stdout ?? '', stderr: stderr ?? '' };
}
const json = async (...args: string[]) => JSON.parse((await run(...args, '--json')).stdout);

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), 'homarus-cli-'));
  configFile = join(base, 'homarus.json');
  const node = givenNode(base);
  const config = {
    cluster: 'east',
    temporal: { address: '127.0.0.1:1' },
    storages: Object.fromEntries(
      ['main', 'gone', 'empty', 'foreign'].map((name) => [name, { type: 'files', path: join(base, name) }]),
    ),
    defaultStorage: 'main',
    nodes: [{ id: 'n1', az: 'a', root: node.roots[0]?.path }],
    dataDir: join(base, 'data'),
  };
  writeFileSync(configFile, JSON.stringify(config));
  await run('init');
  for (const name of ['empty', 'foreign']) mkdirSync(join(base, name));
  await createRepository(new FileStore(join(base, 'foreign')), { cluster: 'west' });
  makeTree(node.roots[0]!.path, {
    'caf\xc3\xa9': { type: 'file', size: 5_000, seed: 1, mode: 0o640 },
    'odd\n\x1b[2J\xff': { type: 'file', size: 10, seed: 2, mode: 0o600 },
    log: { type: 'directory', mode: 0o755, entries: { current: { type: 'symlink', target: 'x' } } },
  });
  const jobs = givenContext();
  const store = new FileStore(join(base, 'main'));
  await backUp(await openRepository(store), jobs.context, { nodes: [node], streams: { dump: DUMP } });
  await jobs.close();
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

describe('commands that need the storage alone', () => {
  test('list and show say what there is', async () => {
    const { result } = await json('list');
    expect(result).toMatchObject({ cluster: 'east', storage: 'main', backups: [{ files: 2, pinned: false }] });
    const { stdout } = await run('list');
    expect(stdout).toMatch(/^BACKUP +NODES +FILES +SIZE/);
    expect(stdout).toContain(result.backups[0].name);
    expect((await run('show', 'latest')).stdout).toMatch(/n1 +- +test +data +2/);
  });

  test('ls prints names on one line each, and none of them moves the cursor', async () => {
    const { stdout } = await run('ls', 'latest');
    expect(stdout).toContain('café');
    expect(stdout).not.toContain('\x1b');
    expect(stdout.trim().split('\n').length).toBe(4);
    const { entries } = (await json('ls', 'latest')).result;
    const odd = entries.find((entry: { pathBase64?: string }) => entry.pathBase64);
    expect(Buffer.from(odd.pathBase64, 'base64').toString('latin1')).toBe('odd\n\x1b[2J\xff');
    expect((await json('ls', 'latest', 'log')).result.entries.map(({ path }: { path: string }) => path)).toEqual([
      'log',
      'log/current',
    ]);
  });

  test('extract brings a node into a directory', async () => {
    const to = join(base, 'extracted');
    expect((await json('extract', 'latest', '--node', 'n1', '--to', to)).result).toMatchObject({
      files: 2,
      removed: 0,
    });
    expect((await json('extract', 'latest', '--node', 'nx', '--to', to)).error).toMatchObject({
      code: 'BadInput',
      message: expect.stringContaining('has no node nx; it has n1'),
    });
  });

  test('extract brings a stream into a file, in the place of what is there, and leaves nothing else', async () => {
    expect((await run('show', 'latest')).stdout).toContain('dump (19.1 MiB)');
    const directory = join(base, 'stream');
    mkdirSync(directory);
    const to = join(directory, 'dump');
    writeFileSync(to, 'former');
    const { result } = await json('extract', 'latest', '--stream', 'dump', '--to', to);
    expect(result).toMatchObject({ stream: 'dump', bytes: DUMP.length });
    expect(readFileSync(to).equals(DUMP)).toBe(true);
    expect(readdirSync(directory)).toEqual(['dump']);
    const wrong: [string[], string, RegExp][] = [
      [['--stream', 'none', '--to', join(directory, 'none')], 'BadInput', /has no stream "none"; it has dump/],
      [['--stream', 'dump', '--to', directory], 'BadInput', /is a directory; name a file/],
      [['--stream', 'dump', '--to', join(directory, 'no', 'file')], 'FileUnwritable', /no.file cannot be written/],
      [['--stream', 'dump', '--node', 'n1', '--to', to], 'BadInput', /--node, whose files are wanted, or --stream/],
      [['--to', to], 'BadInput', /--node, whose files are wanted, or --stream/],
      [['--stream', 'dump', '--path', 'x', '--to', to], 'BadInput', /are for files of a node/],
    ];
    for (const [options, code, message] of wrong) {
      const { error } = await json('extract', 'latest', ...options);
      expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
    }
    expect(readdirSync(directory)).toEqual(['dump']);
  });

  test('pin and unpin hold a backup and let it go', async () => {
    const { backup } = (await json('pin', 'latest', '--note', 'audit')).result;
    expect((await json('list')).result.backups[0]).toMatchObject({ name: backup, pinned: true });
    expect((await json('unpin', 'latest')).result).toMatchObject({ removed: 1 });
  });

  test('a dry run of a cleanup judges, and says why', async () => {
    const { stdout } = await run('cleanup', '--keep-last', '3', '--dry-run');
    expect(stdout).toMatch(/keep +last 1 of 3/);
    expect(stdout).toContain('0 backups would be removed');
  });
});

describe('what goes wrong', () => {
  test.each<[string[], number, RegExp, RegExp]>([
    [['bakcup'], 2, /unknown command 'bakcup' \(Did you mean backup\?\)/, /COMMAND --help/],
    [
      ['list', '--storage', 'none'],
      2,
      /storage: there is no "none" in the configuration; it has main, gone, empty, foreign/,
      /./,
    ],
    [['list', '--storage', 'gone'], 17, /gone/, /Mount it/],
    [['list', '--storage', 'empty'], 10, /empty holds no repository/, /homarus init/],
    [['init', '--storage', 'foreign'], 10, /foreign holds the repository of cluster "west", not of "east"/, /another/],
    [['pin', 'x', '--storage', 'foreign'], 10, /foreign holds the repository of cluster "west", not of "east"/, /./],
    [['show', '2026-01-01T00-00-00Z'], 14, /there is no backup 2026-01-01T00-00-00Z of cluster east/, /homarus list/],
    [['restore', 'latest'], 5, /This restores backup .* in place on all nodes.*nobody can be asked here/s, /--yes/],
    [['backup'], 3, /Temporal does not answer at 127\.0\.0\.1:1/, /address of Temporal/],
    [['lock', '--for', 'long'], 2, /"long" is no duration/, /./],
    [['init'], 10, /./, /./],
    [['--config', '/nowhere.yaml', 'list'], 2, /\/nowhere\.yaml/, /config check/],
  ])(
    '%j ends with %d, says what failed, and what to do',
    async (args, exit, message, hint) => {
      const ran = await run(...args);
      expect(ran).toMatchObject({ exit, stdout: '' });
      const [error, ...rest] = ran.stderr.split('\nhint: ');
      expect(error).toMatch(message);
      expect(rest.join()).toMatch(hint);
      const document = await json(...args);
      expect(document).toMatchObject({ ok: false, error: { code: expect.any(String), hint: expect.any(String) } });
      expect(errorTable[document.error.code as keyof typeof errorTable].exit).toBe(exit);
    },
    30_000,
  );
});

test('every command has help with an example, and says no more than it can do', async () => {
  const { stdout } = await run('--help');
  for (const word of 'demo dev init run node coordinator api backup list show ls restore extract cleanup delete pin unpin lock unlock status config key accept-rollback'.split(
    ' ',
  )) {
    expect(stdout).toMatch(new RegExp(`^  ${word}[ \\n]`, 'm'));
  }
  expect((await run('restore', '--help')).stdout).toMatch(/Usage: homarus restore \[options\] \[backup\]/);
  expect((await run('config', '--help')).stdout).toMatch(/check .*\n +show /);
});

describe('progress', () => {
  const node = (bytesDone: number) => ({
    filesDone: 10,
    filesTotal: 40,
    bytesDone,
    bytesTotal: 4096,
    rate: 1024,
    at: 'tables/x\x1b',
  });
  const status = (phase: 'snapshot' | 'upload'): OperationStatus => ({
    id: 'backup-east-1',
    kind: 'backup',
    state: 'running',
    started: '2026-11-24T00:00:00Z',
    ended: null,
    by: 'tester',
    progress: {
      kind: 'backup',
      phase,
      attempt: 2,
      attempts: 5,
      cluster: 'east',
      nodes: ['n1', 'n2', 'n3'],
      done: ['n3'],
      lastFailure: 'FileChanged: x',
      byNode: { n1: node(1024) },
    },
    result: null,
    error: null,
  });

  test('on a terminal is a bar for each node with rate and time left', () => {
    const frame = frameOf(status('upload'), { width: 120, rows: 24, colour: false, elapsed: 65_000 });
    expect(frame).toEqual([
      'backup-east-1: upload (attempt 2 of 5)  1 min 5 s',
      '  n1  █████░░░░░░░░░░░░░░░  25%  1.0 KiB of 4.0 KiB  1.0 KiB/s  3 s left  tables/x\\x1b',
      '  n2  waiting for its worker',
      '  n3  done',
      '  FileChanged: x',
    ]);
    for (const line of frameOf(status('upload'), { width: 40, rows: 24, colour: false, elapsed: 0 }))
      expect(line.length).toBeLessThan(40);
  });

  test('elsewhere is a line for each phase, and one of JSON with --json', () => {
    expect(plainLine(status('snapshot'))).toBe(
      'backup-east-1: snapshot (attempt 2 of 5), 1 of 3 nodes done, at work: 10 files, 1.0 KiB of 4.0 KiB, 1.0 KiB/s, FileChanged: x',
    );
    const written = (asJson: boolean): string[] => {
      const stderr = new PassThrough();
      const view = progressView(
        { stdin: new PassThrough(), stdout: new PassThrough(), stderr, env: {} },
        asJson,
        () => 0,
      );
      for (const phase of ['snapshot', 'snapshot', 'upload'] as const) view.show(status(phase));
      view.end();
      return (stderr.read() as Buffer).toString().trim().split('\n');
    };
    expect(written(false).length).toBe(2);
    expect(JSON.parse(written(true)[1] as string).progress.progress.phase).toBe('upload');
  });

  test('a terminal that does not know its size is drawn on all the same', () => {
    const stderr = Object.assign(new PassThrough(), { isTTY: true, columns: 0, rows: 0 });
    const view = progressView({ stdin: new PassThrough(), stdout: new PassThrough(), stderr, env: {} }, false, () => 0);
    view.show(status('upload'));
    expect((stderr.read() as Buffer).toString()).toContain(': upload');
  });
});

test('dev runs Temporal where the configuration says, and refuses an address that is not on this machine', async () => {
  const elsewhere = join(base, 'elsewhere.json');
  const config = JSON.parse(readFileSync(configFile, 'utf8'));
  writeFileSync(elsewhere, JSON.stringify({ ...config, temporal: { address: 'temporal.internal:7233' } }));
  const { exit, stderr } = await run('dev', '--config', elsewhere);
  expect(exit).toBe(2);
  expect(stderr).toContain('temporal.address: dev runs a Temporal server of its own, not temporal.internal:7233');
});
