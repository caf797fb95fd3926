import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { expect, test } from '@jest/globals';
import { EtcdClient } from '../../src/plugins/etcd/client.ts';

test('a member that is down has no snapshot, and who asks for one is told so', async () => {
  const endpoint = await unused();
  const timeouts = { request: 1_000, retryFor: 1_000 };
  const client = new EtcdClient({ endpoints: [endpoint], timeouts }, new AbortController().signal);
  const parts: Buffer[] = [];
  const read = async () => {
    for await (const part of client.memberSnapshot()) parts.push(part);
  };
  await expect(read()).rejects.toMatchObject({ code: 'EtcdUnreachable', message: expect.stringContaining(endpoint) });
  expect(parts).toEqual([]);
  client.close();
});

/** An address at which nobody listens. */
async function unused(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}
