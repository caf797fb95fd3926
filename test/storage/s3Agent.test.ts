import { expect, test } from '@jest/globals';
import { proxyOf } from '../../src/storage/s3Agent.ts';

const HTTPS_PROXY = 'http://proxy.example.org:3128';

test('a bucket is asked through the proxy that the environment names', () => {
  expect(proxyOf({}, 's3.example.org')).toBeUndefined();
  expect(proxyOf({ HTTPS_PROXY: '' }, 's3.example.org')).toBeUndefined();
  expect(proxyOf({ HTTPS_PROXY }, 's3.example.org')).toBe(HTTPS_PROXY);
  expect(proxyOf({ https_proxy: HTTPS_PROXY }, 's3.example.org')).toBe(HTTPS_PROXY);
});

test.each([
  ['example.org', true],
  ['.example.org', true],
  ['*.example.org', true],
  ['localhost, s3.example.org', true],
  ['*', true],
  ['ample.org', false],
  ['s3.example.org.net', false],
  ['', false],
])('NO_PROXY=%s: s3.example.org is asked directly: %s', (NO_PROXY, direct) => {
  expect(proxyOf({ HTTPS_PROXY, NO_PROXY }, 's3.example.org')).toBe(direct ? undefined : HTTPS_PROXY);
});
