import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { commands } from '../../src/cli/commands.ts';
import { runCommandLine } from '../../src/cli/run.ts';
import { FileStore } from '../../src/storage/fileStore.ts';
import { openRepository } from '../../src/storage/repository.ts';
import { backUp, givenNode } from '../support/backUp.ts';
import { givenContext } from '../support/jobs.ts';
import { makeTree } from '../support/trees.ts';

/** Commands that look into several backups, and what shells are told of all commands. */

let base: string;
let first: string;
let second: string;

async function run(...args: string[]): Promise<{ exit: number; stdout: string; stderr: string }> {
  const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
  streams.stdin.end();
  const env = { HOMARUS_CONFIG: join(base, 'homarus.json'), USER: 'tester' };
  const exit = await runCommandLine(commands, args, { ...streams, env });
  const [stdout = '', stderr = ''] = [streams.stdout, streams.stderr].map((stream) => {
    stream.end();
    return (stream.read() as Buffer | null)?.toString() ?? '';
  });
  return { exit, stdout, stderr };
}
const json = async (...args: string[]) => JSON.parse((await run(...args, '--json')).stdout);

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), 'homarus-compare-'));
  const node = givenNode(base);
  const { path } = node.roots[0]!;
  writeFileSync(
    join(base, 'homarus.json'),
    JSON.stringify({
      cluster: 'east',
      storages: { main: { type: 'files', path: join(base, 'main') } },
      nodes: [{ id: 'n1', root: path }],
      dataDir: join(base, 'data'),
    }),
  );
  await run('init');
  const file = (seed: number, size = 3_000) => ({ type: 'file' as const, size, seed, mode: 0o644 });
  makeTree(path, {
    same: file(1),
    gone: file(2),
    grown: file(3),
    mode: file(4),
    small: file(5, 60),
    logs: { type: 'directory', mode: 0o755, entries: { 'a.log': file(6), 'b.txt': file(7) } },
  });
  const jobs = givenContext();
  const back = async () => {
    const repository = await openRepository(new FileStore(join(base, 'main')));
    return (await backUp(repository, jobs.context, { nodes: [node] })).receipt.backup;
  };
  first = await back();
  unlinkSync(join(path, 'gone'));
  appendFileSync(join(path, 'grown'), 'more');
  chmodSync(join(path, 'mode'), 0o600);
  writeFileSync(join(path, 'small'), 'x'.repeat(60));
  writeFileSync(join(path, 'new'), 'new');
  second = await back();
  await jobs.close();
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

describe('diff', () => {
  test('says of each path what became of it, and nothing of what is the same', async () => {
    const { from, to, differences } = (await json('diff', first, 'latest')).result;
    expect({ from, to }).toEqual({ from: first, to: second });
    const found = differences.map(({ change, path }: { change: string; path: string }) => `${change} ${path}`);
    expect(found).toEqual(['removed gone', 'content grown', 'attributes mode', 'added new', 'content small']);
    expect(differences[1]).toMatchObject({ node: 'n1', root: 'data', size: 3_004, formerSize: 3_000 });
    expect((await run('diff', first, second)).stdout).toMatch(/^- n1\/data .* gone\nM n1\/data .* grown\nA n1\/data /);
  });

  test('of a backup with itself is empty, and an unknown node is named', async () => {
    expect((await json('diff', second, second)).result.differences).toEqual([]);
    expect((await json('diff', first, second, '--node', 'n9')).error).toMatchObject({
      code: 'BadInput',
      message: 'neither backup has node n9; they have n1',
    });
  });
});

describe('find', () => {
  test('names the backups that hold it, the newest first', async () => {
    const foundOf = async (...args: string[]): Promise<string[]> =>
      (await json('find', ...args)).result.found.map(
        (one: { backup: string; path: string }) => `${one.backup} ${one.path}`,
      );
    expect(await foundOf('gone')).toEqual([`${first} gone`]);
    expect(await foundOf('**/*.log')).toEqual([`${second} logs/a.log`, `${first} logs/a.log`]);
    expect(await foundOf('logs')).toEqual([`${second} logs`, `${first} logs`]);
    expect(await foundOf('*o*', '--backup', first)).toEqual([
      `${first} gone`,
      `${first} grown`,
      `${first} logs`,
      `${first} mode`,
    ]);
    expect(await foundOf('nothing')).toEqual([]);
  });
});

describe('the completion for bash', () => {
  const completed = async (...words: string[]): Promise<string[]> => {
    const { stdout } = await run('completion', 'bash');
    const ask = `${stdout}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _homarus; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync('bash', ['-c', ask, 'bash', 'homarus', ...words], { encoding: 'utf8', cwd: base })
      .trim()
      .split('\n');
  };

  test('knows commands, those below a command, and the options of each', async () => {
    expect(await completed('ba')).toEqual(['backup']);
    expect(await completed('schedules', 'p')).toEqual(['pause']);
    expect(await completed('--config', 'x', 'restore', '--dry')).toEqual(['--dry-run']);
    expect(await completed('schedules', 'apply', '--d')).toEqual(['--dry-run']);
    expect(await completed('restore', 'latest', '--ma')).toEqual(['--map']);
    const all = await completed('');
    for (const word of ['backup', 'drill', 'doctor', 'schedules', 'key', 'find']) expect(all).toContain(word);
  });

  test('falls back to files, and other shells are known or refused', async () => {
    expect(await completed('restore', 'homar')).toEqual(['homarus.json']);
    expect((await run('completion', 'zsh')).stdout).toContain('bashcompinit');
    expect((await run('completion', 'fish')).stdout).toMatch(
      /^complete -c homarus -n '__fish_use_subcommand' -a backup -d/m,
    );
    expect((await json('completion', 'csh')).error).toMatchObject({ code: 'BadInput' });
  });
});
