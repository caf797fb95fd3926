import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Connection } from '@temporalio/client';
import { freePort, startS3, startTemporal, type TemporalServer } from '../../src/servers.ts';
import { alive } from '../support/alive.ts';

const TEST_MS = 120_000;
const report = (): void => {};
let room: string;
const at = (name: string): string => join(room, name);
const cleanups: (() => unknown)[] = [];

beforeEach(async () => {
  room = await mkdtemp(join(tmpdir(), 'homarus-real-'));
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await rm(room, { recursive: true, force: true });
}, TEST_MS);

async function temporal(ports?: TemporalServer['ports']): Promise<TemporalServer> {
  const options = { dbFilename: at('temporal.db'), logFile: at('temporal.log'), namespace: 'demo', report };
  const server = await startTemporal(ports ? { ...options, ports } : options);
  cleanups.push(server.stop);
  return server;
}

async function describeDemo(address: string) {
  const connection = await Connection.connect({ address });
  try {
    return await connection.workflowService.describeNamespace({ namespace: 'demo' });
  } finally {
    await connection.close();
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

describe('a Temporal server of our own', () => {
  it(
    'has the namespace with its retention, and has it again after a kill on the same port and file',
    async () => {
      const first = await temporal();
      const before = await describeDemo(first.address);
      expect(Number(before.config?.workflowExecutionRetentionTtl?.seconds)).toBe(90 * 86_400);
      first.kill('SIGKILL');
      expect(await first.exited).toBe('was ended by SIGKILL');

      const second = await temporal(first.ports);
      expect(second.address).toBe(first.address);
      const after = await describeDemo(second.address);
      expect(after.namespaceInfo?.id).toBe(before.namespaceInfo?.id);
      await second.stop();
      expect(await answers(second.ports.grpc)).toBe(false);
    },
    TEST_MS,
  );

  it(
    'does not start where another program listens',
    async () => {
      const { address: _, ports } = await temporal();
      await expect(temporal(ports)).rejects.toThrow(`port ${ports.grpc} of 127.0.0.1 is taken`);
    },
    TEST_MS,
  );

  it(
    'says how it ended and what it logged when it cannot start',
    async () => {
      const options = { dbFilename: join(room, 'no', 'such', 'folder'), logFile: at('temporal.log'), report };
      await expect(startTemporal(options)).rejects.toThrow(/exited with code 1 before it was ready.*\n.*\S/);
    },
    TEST_MS,
  );

  it(
    'goes when the process that started it is killed',
    async () => {
      const grpc = await freePort();
      const code = `import { startTemporal } from ${JSON.stringify(new URL('../../src/servers.ts', import.meta.url).href)};
        const [dbFilename, logFile] = process.argv.slice(1);
        const server = await startTemporal({ dbFilename, logFile, ports: { grpc: ${grpc} }, report: () => {} });
        process.stdout.write(String(server.pid));`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', code, at('t.db'), at('t.log')]);
      cleanups.push(() => child.kill('SIGKILL'));
      const [pid] = await once(child.stdout, 'data');
      expect(await answers(grpc)).toBe(true);
      child.kill('SIGKILL');
      for (let left = 600; alive(Number(pid)) && left > 0; left--) await delay(50);
      expect(alive(Number(pid))).toBe(false);
      expect(await answers(grpc)).toBe(false);
    },
    TEST_MS,
  );
});

describe('an S3 server of our own', () => {
  it(
    'creates an object once and refuses the second writer',
    async () => {
      await mkdir(at('objects'));
      const server = await startS3({ dir: at('objects'), logFile: at('s3.log'), report });
      cleanups.push(server.stop);
      const { endpoint, region, accessKeyId, secretAccessKey } = server;
      const s3 = new S3Client({
        endpoint,
        region,
        credentials: { accessKeyId, secretAccessKey },
        forcePathStyle: true,
      });
      cleanups.push(() => s3.destroy());
      await s3.send(new CreateBucketCommand({ Bucket: 'demo' }));
      const put = () => s3.send(new PutObjectCommand({ Bucket: 'demo', Key: 'lock', Body: 'x', IfNoneMatch: '*' }));
      await put();
      await expect(put()).rejects.toMatchObject({ $metadata: { httpStatusCode: 412 } });
      await server.stop();
      expect(await answers(server.port)).toBe(false);
    },
    TEST_MS,
  );
});
