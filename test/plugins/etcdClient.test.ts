import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { expect, test } from '@jest/globals';
import { EtcdClient } from '../../src/plugins/etcd/client.ts';
import { RestingEndpoints } from '../../src/plugins/etcd/resting.ts';

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

test('an endpoint that failed is not asked while another one does better, and is when none does', async () => {
  const made: string[] = [];
  const faults = new Set<string>();
  const resting = new RestingEndpoints(['a', 'b'], (error) => error.message !== 'of the caller');
  const policies = { a: resting.policyOf('a'), b: resting.policyOf('b') };
  const ask = async (endpoint: 'a' | 'b', fault = `${endpoint} is down`) =>
    policies[endpoint].execute(() => {
      made.push(endpoint);
      if (faults.has(endpoint)) throw new Error(fault);
      return 'answer';
    });
  faults.add('a');
  await expect(ask('a', 'of the caller')).rejects.toThrow('of the caller');
  await expect(ask('a')).rejects.toThrow('a is down');
  expect(made.splice(0)).toEqual(['a', 'a']);
  await expect(ask('a')).rejects.toThrow('a is down');
  expect(await ask('b')).toBe('answer');
  expect(made.splice(0)).toEqual(['b']);
  faults.add('b');
  await expect(ask('b')).rejects.toThrow('b is down');
  faults.clear();
  expect(await ask('a')).toBe('answer');
  await expect(ask('b')).rejects.toThrow('b is down');
  expect(made).toEqual(['b', 'a']);
});

/** An address at which nobody listens. */
async function unused(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}
