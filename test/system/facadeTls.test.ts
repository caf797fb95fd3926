import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { createApi } from '../../src/api/server.ts';
import { GivenApi } from '../api/given.ts';
import { testNeeding } from '../support/needing.ts';

testNeeding('openssl')(
  'the facade speaks TLS with the certificate that it is given, and tells browsers to insist on it',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'homarus-tls-'));
    const [key, cert] = ['key', 'cert'].map((name) => join(folder, `${name}.pem`)) as [string, string];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
    execFileSync(
      'openssl',
      [...'req -x509 -newkey rsa:2048 -nodes -days 2'.split(' '), ...subject, '-keyout', key, '-out', cert],
      {
        stdio: 'ignore',
      },
    );
    const given = await GivenApi.create();
    const app = createApi({ ...given.deps(), tls: { cert: readFileSync(cert), key: readFileSync(key) } });
    try {
      const url = await app.listen({ port: 0, host: '127.0.0.1' });
      expect(url).toMatch(/^https:/);
      const asked = (options: object): Promise<IncomingMessage> =>
        new Promise((resolve, reject) =>
          get(`${url}/health`, { agent: false, ...options }, resolve).on('error', reject),
        );
      const answer = await asked({ ca: readFileSync(cert) });
      expect(answer.statusCode).toBe(200);
      expect(answer.headers['strict-transport-security']).toMatch(/^max-age=\d+$/);
      answer.resume();
      await expect(asked({})).rejects.toThrow(/self-signed/);
      await expect(asked({ ca: readFileSync(cert), maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1' })).rejects.toThrow();
    } finally {
      await app.close();
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
