import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { claimStateDir, incarnationOf, processDirectory } from '../../src/node/identity.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'homarus-identity-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A process that has claimed the state directory and lives until it is killed. */
async function claimer(): Promise<ReturnType<typeof spawn>> {
  const module = new URL('../../src/node/identity.ts', import.meta.url).href;
  const code = `import(${JSON.stringify(module)}).then(({ claimStateDir }) => {
    claimStateDir(${JSON.stringify(directory)}, 'n1'); console.log('claimed'); setInterval(() => {}, 1000); });`;
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  return child;
}

describe('one process per state directory', () => {
  test('a second process is refused while the first lives, even stopped, and may start when it was killed', async () => {
    const first = await claimer();
    const refused = () => claimStateDir(directory, 'n1');
    expect(refused).toThrow(`node n1: process ${first.pid} on ${hostname()} works on ${directory} already`);
    first.kill('SIGSTOP');
    expect(refused).toThrow(expect.objectContaining({ code: 'NodeTaken' }));
    first.kill('SIGKILL');
    await once(first, 'exit');
    const giveUp = claimStateDir(directory, 'n1');
    giveUp();
    claimStateDir(directory, 'n1');
  });

  test('a process with the number of a dead one is not taken for it', () => {
    const entry = { pid: process.pid, started: 'another start', host: hostname() };
    writeFileSync(join(directory, 'process.json'), JSON.stringify(entry));
    claimStateDir(directory, 'n1');
  });
});

describe('the incarnation of a node', () => {
  test('survives the loss of the state directory, or of a link directory', () => {
    const state = join(directory, 'state');
    const links = [join(directory, 'a'), join(directory, 'b')];
    const incarnation = incarnationOf(state, links);
    rmSync(state, { recursive: true });
    expect(incarnationOf(state, links)).toBe(incarnation);
    for (const link of links) rmSync(link, { recursive: true });
    expect(incarnationOf(state, links)).toBe(incarnation);
  });

  test('is another one when everything was lost', () => {
    const state = join(directory, 'state');
    const incarnation = incarnationOf(state, []);
    rmSync(state, { recursive: true });
    expect(incarnationOf(state, [])).not.toBe(incarnation);
  });
});

test('the temporary files of dead processes are removed, those of living ones and of other machines are not', () => {
  const own = processDirectory(directory);
  const left = { pid: process.pid, started: 'before', host: hostname() };
  writeFileSync(join(processDirectory(directory, left), 'spool'), 'x');
  const elsewhere = processDirectory(directory, { ...left, host: 'elsewhere' });
  expect(processDirectory(directory)).toBe(own);
  expect(
    readdirSync(directory)
      .map((name) => join(directory, name))
      .sort(),
  ).toEqual([own, elsewhere].sort());
});

test('what a killed writer of a state left is removed by the next one', () => {
  const aside = join(directory, 'incarnation.json.0123456789ab');
  const other = join(directory, 'incarnation.json.bak');
  for (const path of [aside, other]) writeFileSync(path, '{');
  incarnationOf(directory, []);
  expect(readdirSync(directory).sort()).toEqual(['incarnation.json', 'incarnation.json.bak']);
});
