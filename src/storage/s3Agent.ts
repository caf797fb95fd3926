import { readFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { getCACertificates } from 'node:tls';
import { HttpsProxyAgent } from 'https-proxy-agent';
import { HomarusError } from '../domain/errors.ts';
import type { S3Settings } from './openStore.ts';

/** The connections to a bucket: through a proxy or not, with certificates of one's own or the usual ones. */
export function s3Agent(settings: S3Settings, requests: number): Agent {
  const { endpoint = `https://s3.${settings.region ?? 'us-east-1'}.amazonaws.com`, caFile, bucket } = settings;
  const { protocol, hostname } = new URL(endpoint);
  const plain = protocol === 'http:';
  const options = {
    keepAlive: true,
    maxSockets: requests,
    ...(caFile === undefined ? {} : { ca: [...getCACertificates('default'), certificates(caFile, bucket)] }),
  };
  const proxy = settings.proxy ?? (plain ? undefined : proxyOf(process.env, hostname));
  if (proxy !== undefined) return new HttpsProxyAgent(proxy, options);
  return plain ? new Agent(options) : new TlsAgent(options);
}

/** The proxy that the environment names for a host, as curl(1) and most others read it. */
export function proxyOf(env: Readonly<Record<string, string | undefined>>, hostname: string): string | undefined {
  const proxy = env.HTTPS_PROXY || env.https_proxy;
  const not = (env.NO_PROXY || env.no_proxy || '').split(',').map((part) => part.trim().replace(/^\*?\./, ''));
  const direct = not.some((part) => part === '*' || (part !== '' && `.${hostname}`.endsWith(`.${part}`)));
  return direct ? undefined : proxy || undefined;
}

function certificates(path: string, bucket: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    throw new HomarusError('ConfigInvalid', `the caFile for bucket ${bucket} cannot be read from ${path}: ${reason}`);
  }
}
