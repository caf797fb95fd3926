import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type Found, findServer, givenAddress } from '../src/servers/find.ts';
import { download, install } from '../src/servers/install.ts';
import { table } from '../src/servers/table.ts';
import { alive } from './support/alive.ts';

const GOOD = '#!/bin/sh\necho "temporal version 0.0.0-DEV (Server 1.27.0, UI 2.36.0)"\n';
const OLD = '#!/bin/sh\necho "temporal version 1.2.0 (Server 1.26.2, UI 2.34.0)"\n';
// Notes its pid, waits for the gate if there is one, and "builds"; or fails when told to.
const GO = `#!/bin/sh
if [ "$1" = version ]; then echo "go version go1.21.0 linux/amd64"; exit; fi
echo $$ >> "$ROOM/builds"
while [ "$1" != -o ]; do shift; done
echo half > "$2"
while [ -e "$ROOM/gate" ]; do command -p sleep 0.05; done
if [ -e "$ROOM/broken" ]; then echo "no such package"; exit 1; fi
printf '#!/bin/sh\\n' > "$2"
`;

jest.setTimeout(30_000);

let room: string;
let env: NodeJS.ProcessEnv;
let lines: string[];
const children: ChildProcess[] = [];
const report = (line: string): void => {
  lines.push(line);
};
const find = (): Promise<Found> => findServer('temporal', report, env);
const at = (...names: string[]): string => join(room, ...names);
const cache = (...names: string[]): string => at('cache', 'homarus', 'servers', 'temporal', ...names);
const program = (): string => cache(table.temporal.version, 'temporal');
const builds = async (): Promise<string[]> => (await readFile(at('builds'), 'utf8')).trim().split('\n');

async function put(file: string, content: string): Promise<string> {
  await writeFile(file, content);
  await chmod(file, 0o755);
  return file;
}

/** Gives up after a time that no working machine needs, so that a broken promise fails the test and not the run. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let left = 1000; !(await condition()); left--) {
    if (left === 0) throw new Error(`never came true: ${condition}`);
    await delay(20);
  }
}

/** findServer in a process of its own; `said` grows with what it reports and, at last, finds. */
function findInChild(): { child: ChildProcess; said: () => string } {
  const code = `import { findServer } from ${JSON.stringify(new URL('../src/servers/find.ts', import.meta.url).href)};
    console.log(JSON.stringify(await findServer('temporal', console.log)));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { env });
  children.push(child);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (said += data));
  return { child, said: () => said };
}

beforeEach(async () => {
  room = await mkdtemp(join(tmpdir(), 'homarus-servers-'));
  await mkdir(at('bin'));
  env = { PATH: at('bin'), XDG_CACHE_HOME: at('cache'), ROOM: room };
  lines = [];
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await rm(room, { recursive: true, force: true });
});

describe('the order in which a server is looked for', () => {
  it('takes an address from the environment of the server it belongs to', () => {
    const given = { TEMPORAL_ADDRESS: 'there:7233', HOMARUS_S3_ENDPOINT: '' };
    expect(givenAddress('temporal', given)).toBe('there:7233');
    expect(givenAddress('versitygw', given)).toBeUndefined();
  });

  it('prefers the binary named in the environment to one on the PATH', async () => {
    await put(at('bin', 'temporal'), GOOD);
    env.TEMPORAL_CLI_PATH = await put(at('mine'), GOOD);
    expect(await find()).toEqual({ path: at('mine'), how: 'TEMPORAL_CLI_PATH' });
  });

  it('refuses a binary named in the environment that is not there, though the PATH has one', async () => {
    await put(at('bin', 'temporal'), GOOD);
    env.TEMPORAL_CLI_PATH = at('nowhere');
    await expect(find()).rejects.toThrow(/TEMPORAL_CLI_PATH names .*nowhere.*correct it or unset it/);
  });

  it('takes a recent Temporal on the PATH and builds nothing', async () => {
    await put(at('bin', 'go'), GO);
    await put(at('bin', 'temporal'), GOOD);
    expect(await find()).toEqual({ path: at('bin', 'temporal'), how: 'PATH' });
    expect(existsSync(at('builds'))).toBe(false);
  });

  it('passes over a Temporal on the PATH whose server is too old, and says so', async () => {
    await put(at('bin', 'go'), GO);
    await put(at('bin', 'temporal'), OLD);
    expect(await find()).toEqual({ path: program(), how: 'build' });
    expect(lines[0]).toMatch(/Not using .*Server 1\.26\.2.*1\.27 or newer/);
  });

  it('skips the download when it knows no checksum or is told to, and says which', async () => {
    await put(at('bin', 'go'), GO);
    await find();
    expect(lines.join('\n')).toContain('no checksum of the official download is known');
    await rm(cache(), { recursive: true });
    await findServer('temporal', report, { ...env, HOMARUS_NO_DOWNLOAD: '1' });
    expect(lines.join('\n')).toContain('HOMARUS_NO_DOWNLOAD is set');
  });

  it('says everything that would help when it finds nothing and cannot build', async () => {
    await expect(find()).rejects.toThrow(/no Go on the PATH.*Install temporal 1\.8\.2 or Go 1\.21.*TEMPORAL_ADDRESS/);
    await put(at('bin', 'go'), '#!/bin/sh\necho "go version go1.19.8 linux/amd64"\n');
    await expect(find()).rejects.toThrow(/older than Go 1\.21/);
  });
});

describe('the cache', () => {
  it('serves what was built once without a second build', async () => {
    await put(at('bin', 'go'), GO);
    expect((await find()).how).toBe('build');
    expect(await find()).toEqual({ path: program(), how: 'cache' });
    expect(await builds()).toHaveLength(1);
  });

  it('replaces a binary that no longer matches its recorded checksum', async () => {
    await put(at('bin', 'go'), GO);
    await find();
    await writeFile(program(), 'bent');
    expect((await find()).how).toBe('build');
    expect(lines.join('\n')).toContain('does not match its recorded SHA-256');
    expect(await readFile(program(), 'utf8')).toBe('#!/bin/sh\n');
  });

  it('lets two processes that need the same server share one build', async () => {
    await put(at('bin', 'go'), GO);
    await writeFile(at('gate'), '');
    const first = findInChild();
    await until(() => existsSync(at('builds')));
    const second = findInChild();
    await until(() => second.said().includes('waiting for it'));
    await rm(at('gate'));
    await Promise.all([once(first.child, 'close'), once(second.child, 'close')]);
    expect(first.said()).toContain('"how":"build"');
    expect(second.said()).toContain('"how":"cache"');
    expect(await builds()).toHaveLength(1);
  });

  it('is left clean by a process killed in its build, and by the build itself', async () => {
    await put(at('bin', 'go'), GO);
    await writeFile(at('gate'), '');
    const { child } = findInChild();
    await until(() => existsSync(at('builds')));
    child.kill('SIGKILL');
    await once(child, 'close');
    const [go] = await builds();
    await until(() => !alive(Number(go)));
    expect(existsSync(cache(table.temporal.version))).toBe(false);
    await rm(at('gate'));
    expect((await find()).how).toBe('build');
    expect(await readdir(cache())).toEqual([table.temporal.version, `${table.temporal.version}.lock`]);
  });

  it('keeps nothing of a failed build but the words of the compiler', async () => {
    await put(at('bin', 'go'), GO);
    await writeFile(at('broken'), '');
    await expect(find()).rejects.toThrow(/go build in .*exited with code 1:\nno such package/);
    expect(await readdir(cache())).toEqual([`${table.temporal.version}.lock`]);
  });
});

describe('the official download', () => {
  it('is used with the right checksum and refused with another', async () => {
    await put(at('temporal'), GOOD);
    execFileSync('tar', ['-czf', at('a.tar.gz'), '-C', room, 'temporal']);
    const archive = await readFile(at('a.tar.gz'));
    const server = createServer((_, response) => response.end(archive)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    try {
      const wrong = install(at('wrong'), 'temporal', download(table.temporal, url, '00'));
      await expect(wrong).rejects.toThrow(/has SHA-256 .*, not 00: not used/);
      expect(existsSync(at('wrong'))).toBe(false);
      const right = createHash('sha256').update(archive).digest('hex');
      await install(at('right'), 'temporal', download(table.temporal, url, right));
      expect(await readFile(at('right', 'temporal'), 'utf8')).toBe(GOOD);
    } finally {
      server.close();
    }
  });
});
