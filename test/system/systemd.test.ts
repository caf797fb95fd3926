import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect } from '@jest/globals';
import { TestCluster } from '../support/cluster.ts';
import { testNeeding } from '../support/needing.ts';
import { comes } from '../support/patience.ts';

/** The units of examples/systemd, judged by systemd's own tools, and a node that runs with no more rights than its unit leaves it. */

const LONG = 180_000;
const units = fileURLToPath(new URL('../../examples/systemd/', import.meta.url));
const program = fileURLToPath(new URL('../../bin/homarus.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'homarus-systemd-'));
let cluster: TestCluster | undefined;
const children: ChildProcess[] = [];
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await cluster?.stop();
  rmSync(directory, { recursive: true });
});

const unit = (name: string): string => readFileSync(join(units, name), 'utf8');
const setting = (name: string, key: string): string[] =>
  [...unit(name).matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value]) => value as string);

const judged = testNeeding('systemd-analyze');

judged('systemd understands every line of the units, and finds each hardened', async () => {
  expect(readdirSync(units).sort()).toEqual([
    'homarus-api.service',
    'homarus-coordinator.service',
    'homarus-node@.service',
  ]);
  for (const [name, as, most] of [
    ['homarus-node@.service', 'homarus-node@db1.service', 30],
    ['homarus-coordinator.service', 'homarus-coordinator.service', 25],
    ['homarus-api.service', 'homarus-api.service', 25],
  ] as const) {
    expect(setting(name, 'ExecStart')).toEqual([expect.stringMatching(/^homarus (node|coordinator|api) /)]);
    const file = join(directory, as);
    writeFileSync(file, unit(name).replace(/^ExecStart=homarus/m, `ExecStart=${program}`));
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' });
    expect([as, status, stdout, stderr]).toEqual([as, 0, '', '']);
    const exposure = spawnSync('systemd-analyze', ['security', '--offline=true', `--threshold=${most}`, file]);
    expect([as, exposure.status]).toEqual([as, 0]);
  }
});

/** What comes to a socket as systemd has it; Node has no such sockets. */
const LISTENER = `
import os, socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
while True:
    data, ancillary, _, _ = listener.recvmsg(4096, socket.CMSG_SPACE(64))
    for _, _, fds in ancillary:
        for at in range(0, len(fds), 4):
            os.close(int.from_bytes(fds[at:at + 4], sys.byteorder))
    print(data.decode(), flush=True)
`;

const confined = testNeeding('python3', 'systemd-notify', 'setpriv');

confined(
  "a node with the rights of its unit alone tells systemd that it lives, and brings back other users' files as they were",
  async () => {
    cluster = await TestCluster.start({ storage: 'files', nodes: ['n1'], started: ['coordinator'] });
    const root = cluster.root('n1');
    mkdirSync(join(root, 'private'));
    const modes = { 'private/secret': 0o600, 'read-only': 0o400, program: 0o6755, private: 0o2700, '.': 0o700 };
    for (const [name, mode] of Object.entries(modes)) {
      const path = join(root, name);
      if (!existsSync(path)) writeFileSync(path, `content of ${name}`);
      chownSync(path, 1234, 4321);
      chmodSync(path, mode);
    }
    const state = () =>
      ['private', 'private/secret', 'read-only', 'program'].map((name) => {
        const { uid, gid, mode, mtimeMs } = lstatSync(join(root, name));
        // Restored to the microsecond.
        return { name, uid, gid, mode, mtime: Math.trunc(mtimeMs) };
      });

    const socket = join(directory, 'notify');
    const listener = spawn('python3', ['-c', LISTENER, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(listener);
    let said = '';
    listener.stdout.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
    const told = (message: string): number => said.split('\n').filter((line) => line === message).length;
    await comes(
      () => 'the socket',
      () => readdirSync(directory).includes('notify') || undefined,
    );

    const capabilities = setting('homarus-node@.service', 'CapabilityBoundingSet').join(' ').split(' ');
    const bounding = ['-all', ...capabilities.map((name) => `+${name.replace('CAP_', '').toLowerCase()}`)].join(',');
    const node = spawn(
      'setpriv',
      [
        ...['--bounding-set', bounding, '--inh-caps', '-all', '--no-new-privs'],
        ...[process.execPath, program, 'node', '--node', 'n1', '--config', cluster.configFile],
      ],
      {
        stdio: ['ignore', 'ignore', 'ignore'],
        env: { ...process.env, NOTIFY_SOCKET: socket, WATCHDOG_USEC: '200000' },
      },
    );
    children.push(node);
    await comes(
      () => `READY=1 and signs of life; it said: ${said}`,
      () => (told('READY=1') === 1 && told('WATCHDOG=1') >= 3) || undefined,
    );
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID.
    const status = readFileSync(`/proc/${node.pid}/status`, 'utf8');
    expect(status).toMatch(/^CapEff:\t0{14}1b$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);

    const before = state();
    await cluster.does('backup');
    execFileSync('rm', ['-r', ...['private', 'read-only', 'program'].map((name) => join(root, name))]);
    await cluster.does('restore', 'latest', '--yes');
    expect(state()).toEqual(before);
    expect(readFileSync(join(root, 'private/secret'), 'utf8')).toBe('content of private/secret');

    const ended = once(node, 'exit');
    node.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    await comes(
      () => `word of its end; it said: ${said}`,
      () => told('STOPPING=1') === 1 || undefined,
    );
  },
  LONG,
);
