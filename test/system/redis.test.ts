import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, expect } from '@jest/globals';
import { parse } from 'yaml';
import { TestCluster } from '../support/cluster.ts';
import { testNeeding } from '../support/needing.ts';

/**
 * examples/redis.yaml as it is: three Redis servers are frozen together while they save and are snapshot, thawed, restored and
 * started again. They listen at sockets in their data roots, so that no other server is in the way.
 */

const LONG = 240_000;
const example = new URL('../../examples/redis.yaml', import.meta.url);
let cluster: TestCluster | undefined;

afterAll(async () => {
  for (const node of cluster?.nodes ?? []) await end(node);
  await cluster?.stop();
}, LONG);

const at = (node: string, name: string): string => join(cluster!.root(node), name);
const ask = (node: string, ...words: string[]): string =>
  execFileSync('redis-cli', ['-e', '-s', at(node, 'redis.sock'), ...words], { encoding: 'utf8' }).trim();
const answers = (node: string): boolean =>
  spawnSync('redis-cli', ['-e', '-s', at(node, 'redis.sock'), 'PING'], { timeout: 5_000 }).status === 0;

async function start(node: string): Promise<void> {
  const root = cluster!.root(node);
  const lines = ['port 0', `unixsocket ${root}/redis.sock`, `dir ${root}`, 'save ""', `pidfile ${root}/redis.pid`];
  writeFileSync(at(node, 'redis.conf'), [...lines, `logfile ${root}/redis.log`, ''].join('\n'));
  execFileSync('redis-server', [at(node, 'redis.conf'), '--daemonize', 'yes']);
  while (!answers(node)) await pause(50);
}

/** Kills the server of a node, if there is one, as the system does. */
async function end(node: string): Promise<void> {
  if (!existsSync(at(node, 'redis.pid'))) return;
  const pid = Number(readFileSync(at(node, 'redis.pid'), 'utf8'));
  if (answers(node)) process.kill(pid, 'SIGKILL');
  while (answers(node)) await pause(50);
}

/** Writes the number of its round to one node after the other; each write is acknowledged before the next. */
class Writer {
  round = 0;
  #stopped = false;
  readonly #running: Promise<void>;

  constructor(nodes: readonly string[]) {
    this.#running = this.#run(nodes);
    this.#running.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** Waits until a round has gone through that began after this call. */
  async goesOn(): Promise<void> {
    const enough = this.round + 2;
    while (this.round < enough) await pause(10);
  }

  async #run(nodes: readonly string[]): Promise<void> {
    const lines: { socket: Socket; answers: AsyncIterator<string> }[] = [];
    for (const node of nodes) {
      const socket = connect(at(node, 'redis.sock'));
      await once(socket, 'connect');
      // Its server may be killed.
      socket.on('error', () => undefined);
      lines.push({ socket, answers: createInterface({ input: socket })[Symbol.asyncIterator]() });
    }
    while (!this.#stopped) {
      for (const { socket, answers } of lines) {
        socket.write(`SET round ${this.round + 1}\r\n`);
        const { value } = await answers.next();
        if (value !== '+OK') throw new Error(`redis answered ${value}`);
      }
      this.round++;
    }
    for (const { socket } of lines) socket.destroy();
  }
}

const roundsOf = (): number[] => cluster!.nodes.map((node) => Number(ask(node, 'GET', 'round')));

testNeeding('redis-server', 'redis-cli', 'redis-check-rdb')(
  'three servers that are written to are backed up at one moment, go on, and come back as they were at that moment',
  async () => {
    cluster = await TestCluster.start({
      storage: 'files',
      nodes: ['redis1', 'redis2', 'redis3'],
      more: { attempts: { backup: 1 }, plugin: (parse(readFileSync(example, 'utf8')) as { plugin: object }).plugin },
    });
    const { nodes } = cluster;
    for (const node of nodes) {
      await start(node);
      ask(node, 'EVAL', "for i = 1, 2000 do redis.call('SET', 'key-' .. i, ARGV[1] .. i) end", '0', node);
    }
    const writer = new Writer(nodes);
    await writer.goesOn();
    const before = writer.round;
    const { backup } = await cluster.does('backup');
    // Thawed: it goes on.
    await writer.goesOn();
    const after = writer.round;

    const [first, , last] = nodes as [string, string, string];
    for (const node of nodes) ask(node, 'SET', 'extra', 'x');
    // One server was killed, and of another the file is gone, too.
    await end(first);
    await end(last);
    rmSync(at(last, 'dump.rdb'));
    await writer.stop().catch(() => undefined);

    const restored = await cluster.does('restore', String(backup), '--yes', '--check');
    expect(restored).toMatchObject({ checked: true });
    const rounds = roundsOf();
    // What was acknowledged before is there, what came after is not, and of no node less than of those after it.
    expect(Math.min(...rounds)).toBeGreaterThanOrEqual(before);
    expect(Math.max(...rounds)).toBeLessThan(after);
    expect(rounds).toEqual([...rounds].sort((a, b) => b - a));
    expect(rounds[0]! - rounds[2]!).toBeLessThanOrEqual(1);
    for (const node of nodes) {
      expect(ask(node, 'GET', 'key-2000')).toBe(`${node}2000`);
      expect(ask(node, 'EXISTS', 'extra')).toBe('0');
      expect(ask(node, 'DBSIZE')).toBe('2001');
    }

    // The check reads what a restore elsewhere brought, without a server.
    const to = join(cluster.directory, 'drill');
    expect(await cluster.does('restore', String(backup), '--node', first, '--to', to, '--check')).toMatchObject({
      checked: true,
    });
  },
  LONG,
);
