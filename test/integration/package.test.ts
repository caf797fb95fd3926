import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { commands } from '../../src/cli/commands.ts';
import { freePort } from '../../src/servers.ts';
import { Packed } from '../support/packed.ts';
import { comes } from '../support/patience.ts';

/** What operators install: the packed archive in an empty directory, without sources and what only development needs. */

const LONG = 300_000;
const checkout = fileURLToPath(new URL('../..', import.meta.url));
let packed: Packed;
let dev: ChildProcess | undefined;

beforeAll(() => {
  packed = new Packed();
  packed.install();
}, LONG);
afterAll(async () => {
  await interrupt();
  packed?.remove();
}, LONG);

/** As Ctrl-C on a terminal does, which all that the command started hears. */
async function interrupt(): Promise<void> {
  if (dev === undefined || dev.exitCode !== null || dev.signalCode !== null) return;
  const ended = once(dev, 'exit');
  process.kill(-(dev.pid as number), 'SIGINT');
  await ended;
}

interface Ran {
  exit: number;
  stdout: string;
  stderr: string;
}

/** A line of a shell in the directory where it is installed. */
async function shell(line: string): Promise<Ran> {
  const options = { cwd: packed.app, env: packed.env };
  try {
    return { exit: 0, ...(await promisify(execFile)('bash', ['-ec', line], options)) };
  } catch (error) {
    const { code, stdout, stderr } = error as Ran & { code: number };
    return { exit: code, stdout, stderr };
  }
}

/** Every command, with those that it is below. */
const all = commands.flatMap((group) =>
  group.commands.flatMap((entry) =>
    'usage' in entry
      ? [entry.usage.split(' ')[0] as string]
      : entry.commands.map(({ usage }) => `${entry.name} ${usage.split(' ')[0]}`),
  ),
);

test('the archive holds what runs and what is read, and nothing else', () => {
  const paths = packed.files.map(({ path }) => path);
  for (const needed of [
    ...['bin/homarus.js', 'dist/cli/main.js', 'dist/workflows.bundle.js', 'dist/plugins/m3/placement.proto'],
    ...['dashboard/index.html', 'servers/temporal/go.mod', 'docs/homarus.schema.json', 'examples/plugin/flow.js'],
    ...['examples/systemd/homarus-node@.service', 'README.md', 'LICENSE', 'CHANGELOG.md', 'package.json'],
  ]) {
    expect(paths).toContain(needed);
  }
  const places = /^((bin|dashboard|dist|servers|examples|docs)[/]|(README|CHANGELOG)[.]md$|LICENSE$|package[.]json$)/;
  expect(paths.filter((path) => !places.test(path))).toEqual([]);
  expect(paths.filter((path) => /[.]map$|(?<![.]d)[.]ts$|[.]test[.]|tsconfig|[.]log$/.test(path))).toEqual([]);
  const bytes = packed.files.reduce((sum, { size }) => sum + size, 0);
  expect(bytes).toBeLessThan(5_000_000);
});

test('nothing in it names the machine that built it, not even in what is encoded', () => {
  const place = checkout.replace(/[/]$/, '').replace(/\W/g, '[$&]');
  const named = new RegExp(`(?<![\\w.-])${place}(?![\\w-])`);
  const texts = packed.files.map(({ path }) => {
    const content = readFileSync(join(packed.app, 'node_modules/homarus', path), 'latin1');
    const encoded = [...content.matchAll(/base64,([\w+/=]{100,})/g)].map(([, text]) =>
      Buffer.from(text as string, 'base64').toString('latin1'),
    );
    return { path, text: [content, ...encoded].join('\n') };
  });
  expect(texts.some(({ text }) => text.includes('node_modules/@temporalio/workflow/'))).toBe(true);
  expect(texts.filter(({ text }) => named.test(text)).map(({ path }) => path)).toEqual([]);
});

test(
  'every command says how it is used, and a mistake is told as everywhere',
  async () => {
    expect(all.length).toBeGreaterThan(30);
    const waiting = [...all];
    const two = [1, 2].map(async () => {
      for (let command = waiting.shift(); command !== undefined; command = waiting.shift()) {
        const { exit, stdout } = await shell(`node_modules/.bin/homarus ${command} --help`);
        expect([command, exit]).toEqual([command, 0]);
        expect(stdout).toContain(`homarus ${command}`);
      }
    });
    await Promise.all(two);
    const { stdout } = await shell('npx homarus completion bash');
    for (const command of all) expect(stdout).toContain(command.split(' ')[0]);
    const { exit, stderr } = await shell('npx homarus backup');
    expect([exit, stderr]).toEqual([2, expect.stringContaining('homarus.yaml')]);
  },
  LONG,
);

test(
  'the demo backs up, destroys and restores a cluster',
  async () => {
    const { exit, stdout, stderr } = await shell('npx homarus demo');
    expect([exit, stdout + stderr]).toEqual([0, expect.stringContaining('All bytes are back.')]);
  },
  LONG,
);

test(
  'the quick start does what it says, step by step',
  async () => {
    const page = readFileSync(join(packed.app, 'node_modules/homarus/docs/quick-start.md'), 'utf8');
    const there = async (text: string, ...from: string[]): Promise<string> => {
      let changed = text;
      for (const one of from) {
        expect(changed).toContain(one);
        changed = changed.replaceAll(one, one.startsWith('/') ? join(packed.directory, 'try') : ports.get(one)!);
      }
      return changed;
    };
    const ports = new Map([
      ['7233', `${await freePort()}`],
      ['5515', `${await freePort()}`],
    ]);
    const [, configuration] = /^```yaml\n(.*?)^```$/ms.exec(page)!;
    writeFileSync(
      join(packed.app, 'homarus.yaml'),
      await there(configuration as string, '/tmp/homarus-try', '7233', '5515'),
    );
    const [install, create, start, use, look, ...more] = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(
      ([, text]) => text as string,
    );
    expect(more).toEqual([]);
    expect(install).toBe('npm install homarus\n');
    expect(await shell(create as string)).toMatchObject({ exit: 0 });
    dev = spawn('bash', ['-c', `exec ${start}`], {
      cwd: packed.app,
      env: packed.env,
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
    let said = '';
    dev.stderr?.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
    await comes(
      () => `dev to have started; it said: ${said}`,
      () => said.includes('Ctrl-C stops it all.') || undefined,
    );
    const used = await shell(await there(use as string, '/tmp/homarus-try'));
    expect(used).toMatchObject({ exit: 0, stdout: expect.stringMatching(/\nprecious\n$/) });
    const looked = await shell(look as string);
    expect(looked).toMatchObject({ exit: 0, stdout: expect.stringContaining('first') });
    expect(looked.stdout).not.toContain('FAIL');
    const dashboard = await fetch(`http://127.0.0.1:${ports.get('5515')}/`, { headers: { accept: 'text/html' } });
    expect([dashboard.status, await dashboard.text()]).toEqual([200, expect.stringContaining('<html')]);
    await interrupt();
    await expect(fetch(`http://127.0.0.1:${ports.get('5515')}/`)).rejects.toThrow();
    await expect(freePort(Number(ports.get('7233')))).resolves.toBeGreaterThan(0);
  },
  LONG,
);
