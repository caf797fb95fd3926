import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage, RequestListener } from 'node:http';
import { createServer, request } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { S3Server } from '../../src/servers.ts';
import { startS3 } from '../../src/servers.ts';
import type { S3Settings } from '../../src/storage/openStore.ts';
import { openStore } from '../../src/storage/openStore.ts';

/** S3 as users have it, with a real server behind what they have in front of it. */

const LONG = 120_000;
const PART = 48 * 1024 * 1024;
let directory: string;
let s3: S3Server;
const open: Server[] = [];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'homarus-s3-settings-'));
  mkdirSync(join(directory, 'objects'));
  s3 = await startS3({ dir: join(directory, 'objects'), logFile: join(directory, 's3.log'), report: () => undefined });
  const { endpoint, region, accessKeyId, secretAccessKey } = s3;
  process.env.TEST_S3_ID = accessKeyId;
  process.env.TEST_S3_KEY = secretAccessKey;
  const credentials = { accessKeyId, secretAccessKey };
  const client = new S3Client({ endpoint, region, credentials, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: 'backups' }));
  client.destroy();
}, LONG);
afterAll(async () => {
  for (const server of open) server.close();
  await s3?.stop();
  rmSync(directory, { recursive: true, force: true });
}, LONG);

const opened = (more: Partial<S3Settings>) =>
  openStore({
    type: 's3',
    bucket: 'backups',
    region: s3.region,
    endpoint: s3.endpoint,
    pathStyle: true,
    credentials: { accessKeyIdEnv: 'TEST_S3_ID', secretAccessKeyEnv: 'TEST_S3_KEY' },
    timeouts: { retryFor: 2_000, stall: 10_000, connect: 2_000 },
    ...more,
  });

test('what the server is to encrypt, and how it is to keep it, is said of every object that is written', async () => {
  const seen: IncomingMessage[] = [];
  const endpoint = await listening(createServer(passedOn((asked) => seen.push(asked))), 'http');
  const sse = { type: 'aws:kms', kmsKeyId: 'alias/backups' } as const;
  const store = await opened({ endpoint, sse, storageClass: 'STANDARD_IA' });
  await store.create('whole', Buffer.from('in one request'));
  await store.create('parts', Buffer.alloc(PART + 1));
  await store.overwrite('lease', Buffer.from('again'));
  expect((await store.read('whole'))?.toString()).toBe('in one request');
  await store.close();
  const heads = seen.map(({ method, headers, url = '' }) => ({
    what: `${method} ${url.replace(/\?.*uploads.*/, '?uploads').replace(/\?.*(partNumber|uploadId).*/, '?$1')}`,
    sse: headers['x-amz-server-side-encryption'],
    key: headers['x-amz-server-side-encryption-aws-kms-key-id'],
    kind: headers['x-amz-storage-class'],
  }));
  const kept = { sse: 'aws:kms', key: 'alias/backups', kind: 'STANDARD_IA' };
  for (const what of ['PUT /backups/whole', 'POST /backups/parts?uploads', 'PUT /backups/lease']) {
    expect(heads.filter((head) => head.what.startsWith(what))).toEqual([expect.objectContaining(kept)]);
  }
  expect(heads.filter(({ what }) => what.startsWith('GET'))).toEqual([expect.objectContaining({ sse: undefined })]);
});

test('a server with a certificate of its own is trusted by its caFile, and without it is not', async () => {
  const [key, cert] = ['key', 'cert'].map((name) => join(directory, `${name}.pem`)) as [string, string];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-keyout', key, '-out', cert, ...subject],
    {
      stdio: 'ignore',
    },
  );
  const server = createTlsServer(
    { key: readFileSync(key), cert: readFileSync(cert) },
    passedOn(() => undefined),
  );
  const endpoint = (await listening(server, 'https')).replace('127.0.0.1', 'localhost');
  const trusting = await opened({ endpoint, caFile: cert });
  expect(await trusting.create('trusted', Buffer.from('x'))).toBe('created');
  await trusting.close();
  const wary = await opened({ endpoint });
  await expect(wary.read('trusted')).rejects.toMatchObject({
    code: 'StoreUnreachable',
    message: expect.stringContaining('certificate'),
  });
  await wary.close();
  await expect(opened({ endpoint, caFile: join(directory, 'none.pem') })).rejects.toMatchObject({
    code: 'ConfigInvalid',
    message: expect.stringContaining('none.pem'),
  });
});

test('a bucket is asked through the proxy that the configuration names', async () => {
  const asked: string[] = [];
  const server = createServer();
  server.on('connect', ({ url = '' }: IncomingMessage, client, head) => {
    asked.push(url);
    const { hostname, port } = new URL(`http://${url}`);
    const target = connect(Number(port), hostname, () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      target.write(head);
      target.pipe(client).pipe(target);
    });
    for (const socket of [client, target]) socket.on('error', () => socket.destroy());
  });
  const proxy = await listening(server, 'http');
  const store = await opened({ proxy });
  expect(await store.create('through', Buffer.from('x'))).toBe('created');
  expect((await store.read('through'))?.toString()).toBe('x');
  await store.close();
  expect(new Set(asked)).toEqual(new Set([new URL(s3.endpoint).host]));
});

async function listening(server: Server, protocol: string): Promise<string> {
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `${protocol}://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Hands requests to the S3 server as they are, and tells of each. */
function passedOn(tell: (asked: IncomingMessage) => void): RequestListener {
  const { hostname, port } = new URL(s3.endpoint);
  return (asked, answer) => {
    tell(asked);
    const { method, url: path, rawHeaders: headers } = asked;
    const passed = request({ hostname, port, method, path, headers }, (answered) => {
      answer.writeHead(answered.statusCode ?? 502, answered.rawHeaders);
      answered.pipe(answer);
    });
    passed.once('error', () => answer.destroy());
    asked.pipe(passed);
  };
}
