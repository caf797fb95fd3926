import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage, Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { NoticeWay } from '../../src/activities/sendNotice.ts';
import { sendNotice } from '../../src/activities/sendNotice.ts';
import type { Notice } from '../../src/domain/notices.ts';
import { wants } from '../../src/domain/notices.ts';

const notice: Notice = {
  ...{ event: 'failed', cluster: 'east', at: '2026-11-25T03:00:00.000Z', message: 'backup backup-1 failed: no space' },
  operation: { id: 'backup-1', kind: 'backup', by: 'schedule nightly' },
};
const way = (more: Partial<NoticeWay>): NoticeWay => ({ name: 'pager', on: ['failed'], timeout: 5_000, ...more });
const { signal } = new AbortController();

describe('a webhook', () => {
  let server: Server;
  let url: string;
  let asked: { request: IncomingMessage; body: string }[];
  let answers: number[];

  beforeEach(async () => {
    asked = [];
    answers = [];
    server = createServer(async (request, response) => {
      asked.push({ request, body: await text(request) });
      response.statusCode = answers.shift() ?? 204;
      if (response.statusCode === 302) response.setHeader('location', 'http://127.0.0.1:1/');
      response.end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?key=secret`;
  });
  afterEach(() => {
    server.close();
    delete process.env.HOMARUS_TEST_TOKEN;
    delete process.env.HOMARUS_TEST_URL;
  });

  test('is posted the notice as JSON, with the token of the environment', async () => {
    process.env.HOMARUS_TEST_TOKEN = 'abc';
    process.env.HOMARUS_TEST_URL = url;
    await sendNotice(way({ webhook: { urlEnv: 'HOMARUS_TEST_URL', tokenEnv: 'HOMARUS_TEST_TOKEN' } }), notice, signal);
    const [{ request, body }] = asked as [(typeof asked)[number]];
    expect(request).toMatchObject({ method: 'POST', url: '/hook?key=secret' });
    expect(request.headers).toMatchObject({ 'content-type': 'application/json', authorization: 'Bearer abc' });
    expect(JSON.parse(body)).toEqual(notice);
  });

  test.each([500, 404, 302])('that answers %d has not heard', async (status) => {
    answers.push(status);
    const told = sendNotice(way({ webhook: { url } }), notice, signal);
    await expect(told).rejects.toMatchObject({
      code: 'NotTold',
      message: expect.stringMatching(/^notifications\.pager: /),
    });
    await expect(told).rejects.not.toMatchObject({ message: expect.stringContaining('secret') });
  });

  test('that is not there, or whose secret is not set, is named without the secret', async () => {
    server.close();
    await once(server, 'close');
    await expect(sendNotice(way({ webhook: { url } }), notice, signal)).rejects.toMatchObject({
      code: 'NotTold',
      message: expect.not.stringContaining('secret'),
    });
    await expect(sendNotice(way({ webhook: { urlEnv: 'HOMARUS_TEST_URL' } }), notice, signal)).rejects.toMatchObject({
      message: 'notifications.pager: HOMARUS_TEST_URL is not set in the environment of this coordinator',
    });
  });
});

describe('a command', () => {
  test('has the notice in its environment, and nothing of ours', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'homarus-notice-'));
    process.env.HOMARUS_TEST_TOKEN = 'abc';
    try {
      const file = join(directory, 'env');
      await sendNotice(way({ command: ['/bin/sh', '-c', `env > ${file}`] }), notice, signal);
      const environment = readFileSync(file, 'utf8');
      expect(environment).toContain('HOMARUS_EVENT=failed\n');
      expect(environment).toContain('HOMARUS_OPERATION=backup-1\n');
      expect(environment).toContain(`HOMARUS_NOTICE=${JSON.stringify(notice)}\n`);
      expect(environment).not.toContain('HOMARUS_TEST_TOKEN');
    } finally {
      delete process.env.HOMARUS_TEST_TOKEN;
      rmSync(directory, { recursive: true });
    }
  });

  test('that fails has not told anybody, and its last words say why', async () => {
    const command = ['/bin/sh', '-c', 'echo no such pager >&2; exit 3'];
    await expect(sendNotice(way({ command }), notice, signal)).rejects.toMatchObject({
      code: 'NotTold',
      message: 'notifications.pager: /bin/sh ended with 3: no such pager',
    });
  });
});

test('who wants what: by event, and by operation where there is one', () => {
  expect(wants(way({}), notice)).toBe(true);
  expect(wants(way({ on: ['succeeded', 'missed'] }), notice)).toBe(false);
  expect(wants(way({ operations: ['backup'] }), notice)).toBe(true);
  expect(wants(way({ operations: ['drill'] }), notice)).toBe(false);
  const { operation: _, ...missed } = { ...notice, event: 'missed' as const };
  expect(wants(way({ on: ['missed'], operations: ['drill'] }), missed)).toBe(true);
});
