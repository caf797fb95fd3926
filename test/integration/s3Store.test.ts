import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { S3Server } from '../../src/servers.ts';
import { startS3 } from '../../src/servers.ts';
import { createRepository } from '../../src/storage/create.ts';
import type { ObjectStore } from '../../src/storage/objectStore.ts';
import { openStore } from '../../src/storage/openStore.ts';
import { describeStore, expectEndedMidway } from '../storage/objectStore.contract.ts';

const LONG = 120_000;
let directory: string;
let server: S3Server;
let prefixes = 0;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'homarus-s3-'));
  mkdirSync(join(directory, 'objects'));
  server = await startS3({
    dir: join(directory, 'objects'),
    logFile: join(directory, 's3.log'),
    report: () => undefined,
  });
  const { endpoint, region, accessKeyId, secretAccessKey } = server;
  process.env.TEST_S3_ID = accessKeyId;
  process.env.TEST_S3_KEY = secretAccessKey;
  const client = new S3Client({
    endpoint,
    region,
    credentials: { accessKeyId, secretAccessKey },
    forcePathStyle: true,
  });
  await client.send(new CreateBucketCommand({ Bucket: 'backups' }));
  client.destroy();
}, LONG);
afterAll(async () => {
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
}, LONG);

const opened = (prefix: string, more: object = {}, mayWrite: () => void = () => undefined): Promise<ObjectStore> =>
  openStore(
    {
      type: 's3',
      bucket: 'backups',
      prefix,
      region: server.region,
      endpoint: server.endpoint,
      pathStyle: true,
      credentials: { accessKeyIdEnv: 'TEST_S3_ID', secretAccessKeyEnv: 'TEST_S3_KEY' },
      timeouts: { retryFor: 2_000, stall: 1_000, connect: 1_000 },
      ...more,
    },
    { mayWrite },
  );

describeStore(
  'in a bucket of a real S3 server',
  async () => {
    const prefix = `contract/${++prefixes}`;
    const stores = [await opened(prefix), await opened(prefix)] as const;
    return {
      store: stores[0],
      other: stores[1],
      close: async () => {
        await Promise.all(stores.map((store) => store.close()));
      },
    };
  },
  60_000,
);

describe('a bucket', () => {
  test(
    'takes nothing more from who may not write any more, not even the rest of an object',
    () => expectEndedMidway((mayWrite) => opened('midway', {}, mayWrite)),
    LONG,
  );

  test(
    'takes a repository: the server keeps its word about racing writers',
    async () => {
      const store = await opened('probed');
      const { repository } = await createRepository(store, { cluster: 'east' });
      expect(repository.parameters.cluster).toBe('east');
      await store.close();
    },
    LONG,
  );

  test(
    'that does not exist, or a key that is wrong, is told at once and by name',
    async () => {
      const gone = await opened('x', { bucket: 'no-such-bucket' });
      await expect(gone.create('a', Buffer.from('x'))).rejects.toMatchObject({
        message: expect.stringContaining('no-such-bucket'),
      });
      process.env.TEST_S3_WRONG = 'wrong';
      const wrong = await opened('x', {
        credentials: { accessKeyIdEnv: 'TEST_S3_ID', secretAccessKeyEnv: 'TEST_S3_WRONG' },
      });
      await expect(wrong.create('a', Buffer.from('x'))).rejects.toMatchObject({ code: 'StoreForbidden' });
      await Promise.all([gone.close(), wrong.close()]);
    },
    LONG,
  );
});

/** A server that answers as it is told: what a real one does not do on command. */
async function answering(answers: number[]): Promise<{ endpoint: string; asked: () => number; close(): void }> {
  let asked = 0;
  const faulty = createServer((request, response) => {
    request.resume();
    const status = answers[Math.min(asked++, answers.length - 1)] as number;
    // 0: it takes the request and never answers.
    if (status !== 0) response.writeHead(status, { etag: '"x"' }).end();
  });
  await new Promise<void>((resolve) => faulty.listen(0, '127.0.0.1', resolve));
  const { port } = faulty.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    asked: () => asked,
    close: () => {
      faulty.closeAllConnections();
      faulty.close();
    },
  };
}

describe('a request', () => {
  test.each([
    [[500, 200], 2],
    [[503, 429, 200], 3],
    [[0, 200], 2],
  ])(
    'that is answered %j is repeated until it succeeds',
    async (answers, times) => {
      const faulty = await answering(answers);
      const store = await opened('x', {
        endpoint: faulty.endpoint,
        timeouts: { retryFor: 20_000, stall: 500, connect: 1_000 },
      });
      expect(await store.create('a', Buffer.from('x'))).toBe('created');
      expect(faulty.asked()).toBe(times);
      await store.close();
      faulty.close();
    },
    LONG,
  );

  test.each([
    ['exists', 200, 'exists'],
    ['does not exist', 404, 'StoreUnreachable'],
  ])(
    'to create what %s, which is cut off before its answer comes, is settled by a look',
    async (_, head, outcome) => {
      const cutting = createServer((request, response) => {
        if (request.method === 'HEAD') response.writeHead(head).end();
        else request.once('data', () => request.destroy());
      });
      await new Promise<void>((resolve) => cutting.listen(0, '127.0.0.1', resolve));
      const store = await opened('x', {
        endpoint: `http://127.0.0.1:${(cutting.address() as AddressInfo).port}`,
        timeouts: { retryFor: 500, stall: 5_000, connect: 1_000 },
      });
      const answer = store.create('a', Buffer.alloc(1_000_000)).catch((error: { code: string }) => error.code);
      try {
        expect(await answer).toBe(outcome);
      } finally {
        await store.close();
        cutting.closeAllConnections();
        cutting.close();
      }
    },
    LONG,
  );

  test(
    'that is forbidden is not repeated',
    async () => {
      const faulty = await answering([403]);
      const store = await opened('x', { endpoint: faulty.endpoint });
      await expect(store.create('a', Buffer.from('x'))).rejects.toMatchObject({ code: 'StoreForbidden' });
      expect(faulty.asked()).toBe(1);
      await store.close();
      faulty.close();
    },
    LONG,
  );

  test(
    'that nobody answers is given up after its time, and the storage is named',
    async () => {
      const faulty = await answering([500]);
      const store = await opened('x', {
        endpoint: faulty.endpoint,
        timeouts: { retryFor: 500, stall: 500, connect: 500 },
      });
      await expect(store.read('a')).rejects.toMatchObject({
        code: 'StoreUnreachable',
        message: expect.stringContaining('s3://backups/x'),
      });
      await store.close();
      faulty.close();
    },
    LONG,
  );
});
