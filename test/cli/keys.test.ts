import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { commands } from '../../src/cli/commands.ts';
import { runCommandLine } from '../../src/cli/run.ts';
import { FileStore } from '../../src/storage/fileStore.ts';
import { openRepository } from '../../src/storage/repository.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import { SeenRoots } from '../../src/storage/seen.ts';
import { backUp, givenNode } from '../support/backUp.ts';
import { givenContext } from '../support/jobs.ts';
import { compareTrees, makeTree } from '../support/trees.ts';

/** The life of an encrypted repository from the command line, with passphrases that cost what they cost. */

let base: string;
let jobs: ReturnType<typeof givenContext>;
const PASSPHRASE = 'a passphrase that nothing may print';

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'homarus-keys-'));
  jobs = givenContext();
  writeFileSync(join(base, 'passphrase'), `${PASSPHRASE}\n`);
  writeFileSync(join(base, 'key'), Buffer.alloc(32, 'k'));
});
afterAll(async () => {
  await jobs.close();
  rmSync(base, { recursive: true, force: true });
});

/** Every byte that the commands said. */
let said = '';

/** Runs a command in this process, by a configuration whose storage has this `encryption`. */
async function run(encryption: object | undefined, ...args: string[]) {
  const config = {
    cluster: 'east',
    temporal: { address: '127.0.0.1:1' },
    storages: { main: { type: 'files', path: join(base, 'store'), encryption } },
    nodes: [{ id: 'n1', az: 'a', root: join(base, 'n1'), stateDir: join(base, 'state', 'n1') }],
    dataDir: join(base, 'data'),
  };
  writeFileSync(join(base, 'homarus.json'), JSON.stringify(config));
  const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
  streams.stdin.end();
  const terminal = { ...streams, env: { HOMARUS_CONFIG: join(base, 'homarus.json'), USER: 'tester' } };
  const exit = await runCommandLine(commands, [...args, '--json'], terminal);
  streams.stdout.end();
  streams.stderr.end();
  const stdout = (streams.stdout.read() as Buffer).toString();
  said += stdout + ((streams.stderr.read() as Buffer | null)?.toString() ?? '');
  return { exit, ...JSON.parse(stdout) };
}

const file = (size: number, seed = 1) => ({ type: 'file' as const, size, seed, mode: 0o644 });

test('init, list, extract, key add, rotate, remove and accept-rollback; and no key, or the wrong one, is told first', async () => {
  const passphrase = { passphraseFile: join(base, 'passphrase') };
  const keyFile = { keyFile: join(base, 'key') };
  expect(await run(undefined, 'init', '--encrypt')).toMatchObject({ exit: 25, error: { code: 'KeyMissing' } });
  expect(await run(undefined, 'init', '--key-file', join(base, 'key'))).toMatchObject({
    exit: 2,
    error: { code: 'BadInput', hint: expect.stringContaining('--encrypt') },
  });
  expect(await run(undefined, 'init', '--encrypt', '--passphrase-file', join(base, 'passphrase'))).toMatchObject({
    exit: 0,
    result: { encrypted: true },
  });

  const node = givenNode(base);
  makeTree(node.roots[0]!.path, { a: file(5_000), b: file(80_000, 2) });
  const opened = await openRepository(new FileStore(join(base, 'store')), { encryption: passphrase });
  await backUp(opened, jobs.context, { nodes: [node] });

  for (const command of [['list'], ['show', 'latest'], ['ls', 'latest'], ['key', 'list'], ['cleanup', '--dry-run']]) {
    expect(await run(undefined, ...command)).toMatchObject({ exit: 25, error: { code: 'KeyMissing' } });
  }
  const wrong = await run(keyFile, 'extract', 'latest', '--node', 'n1', '--to', join(base, 'out'));
  expect(wrong).toMatchObject({
    exit: 25,
    error: { code: 'KeyWrong', message: expect.stringContaining('/key opens none') },
  });
  expect(readdirSync(base)).not.toContain('out');
  expect(await run(keyFile, 'coordinator')).toMatchObject({ exit: 25, error: { code: 'KeyWrong' } });

  expect(await run(passphrase, 'list')).toMatchObject({ exit: 0, result: { backups: [{ files: 2 }] } });
  expect(await run(passphrase, 'extract', 'latest', '--node', 'n1', '--to', join(base, 'out'))).toMatchObject({
    exit: 0,
  });
  expect(compareTrees(node.roots[0]!.path, join(base, 'out'))).toEqual([]);

  const added = await run(passphrase, 'key', 'add', '--new-key-file', join(base, 'key'), '--label', 'envelope');
  expect(added).toMatchObject({ exit: 0, result: { kind: 'keyFile', label: 'envelope' } });
  expect(await run(keyFile, 'key', 'rotate')).toMatchObject({ exit: 0, result: { generation: 2 } });
  const { result } = await run(keyFile, 'key', 'list');
  expect(result).toMatchObject({
    generation: 2,
    slots: [
      { kind: 'passphrase', used: false, by: 'tester' },
      { id: added.result.id, kind: 'keyFile', used: true, label: 'envelope' },
    ],
  });
  expect(await run(keyFile, 'key', 'remove', result.slots[0].id)).toMatchObject({ exit: 5 });
  expect(await run(keyFile, 'key', 'remove', result.slots[0].id, '--yes')).toMatchObject({ exit: 0 });
  expect(await run(passphrase, 'list')).toMatchObject({ exit: 25, error: { code: 'KeyWrong' } });
  expect(await run(keyFile, 'key', 'remove', added.result.id, '--yes')).toMatchObject({ exit: 2 });
  expect(await run(keyFile, 'list')).toMatchObject({ exit: 0, result: { backups: [{ files: 2 }] } });

  // Somebody puts back what was there before.
  const older = join(base, 'older');
  cpSync(join(base, 'store'), older, { recursive: true });
  const reopened = await openRepository(new FileStore(join(base, 'store')), { encryption: keyFile });
  await backUp(reopened, jobs.context, { nodes: [node] });
  mkdirSync(join(base, 'data', 'coordinator'), { recursive: true });
  await new SeenRoots(join(base, 'data', 'coordinator')).check(reopened, await presentRoot(reopened));
  rmSync(join(base, 'store'), { recursive: true });
  cpSync(older, join(base, 'store'), { recursive: true });
  expect(await run(keyFile, 'key', 'rotate')).toMatchObject({ exit: 10, error: { code: 'RolledBack' } });
  expect(await run(keyFile, 'accept-rollback')).toMatchObject({ exit: 5 });
  const accepted = await run(keyFile, 'accept-rollback', '--yes');
  expect(accepted).toMatchObject({ exit: 0, result: { accepted: [{ who: 'coordinator' }, { who: 'node n1' }] } });
  for (const { before } of accepted.result.accepted) expect(before).toBeGreaterThan(accepted.result.root);
  expect(await run(keyFile, 'key', 'rotate')).toMatchObject({ exit: 0 });
  await backUp(reopened, jobs.context, { nodes: [node] });

  // Begun without Temporal, it is begun all the same, and only once.
  const { generation } = (await run(keyFile, 'key', 'list')).result;
  for (let call = 0; call < 2; call++) {
    expect(await run(keyFile, 'key', 'rotate', '--reencrypt')).toMatchObject({
      error: { code: 'TemporalUnreachable' },
    });
  }
  const next = generation + 1;
  expect(await run(keyFile, 'key', 'list')).toMatchObject({ result: { generation: next, rewriteBelow: next } });
  const { packs } = (await run(keyFile, 'cleanup', '--dry-run')).result;
  expect(packs.dropped.packs + packs.rewritten.packs + packs.formerKeys.packs).toBe(
    readdirSync(join(base, 'store', 'packs'), { recursive: true, withFileTypes: true }).filter((one) => one.isFile())
      .length,
  );

  await run(passphrase, 'config', 'show');
  expect(said).not.toContain(PASSPHRASE);
}, 120_000);
