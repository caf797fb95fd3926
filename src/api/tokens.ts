import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/** Who may use the facade. A token is 256 random bits, so its plain hash tells nothing of it. */

export type Role = 'read' | 'operate';

/** As the configuration has it: `sha256` in 64 hex digits. */
export interface TokenHash {
  name: string;
  role: Role;
  sha256: string;
}

const PREFIX = 'homarus_';
const BYTES = 32;

export function newToken(name: string, role: Role): TokenHash & { token: string } {
  const token = `${PREFIX}${randomBytes(BYTES).toString('base64url')}`;
  return { name, role, token, sha256: hashOf(token).toString('hex') };
}

/** Whose token a request bears; undefined when it is nobody's. It takes the same time for every wrong one. */
export function bearerOf(authorization: string | undefined, tokens: readonly TokenHash[]): TokenHash | undefined {
  const hash = hashOf(tokenIn(authorization) ?? '');
  let found: TokenHash | undefined;
  for (const known of tokens) if (timingSafeEqual(hash, Buffer.from(known.sha256, 'hex'))) found = known;
  return found;
}

/** As a bearer token, or as the password of a URL, which is all that some clients can send. */
function tokenIn(authorization = ''): string | undefined {
  const [, scheme = '', rest = ''] = /^(\w+) +([\w+/=.~-]+)$/.exec(authorization) ?? [];
  if (scheme.toLowerCase() === 'bearer') return rest;
  if (scheme.toLowerCase() !== 'basic') return undefined;
  return Buffer.from(rest, 'base64').toString('utf8').split(':').slice(1).join(':');
}

const hashOf = (token: string): Buffer => createHash('sha256').update(token).digest();
