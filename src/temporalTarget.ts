import { readFileSync } from 'node:fs';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import type { TemporalTarget } from './client/connect.ts';
import type { Config } from './config.ts';
import { HomarusError } from './domain/errors.ts';

const DEFAULT_ADDRESS = 'localhost:7233';

/**
 * Where Temporal is: what the configuration says goes before Temporal's own environment variables (`TEMPORAL_ADDRESS` and
 * its kin) and profiles, and these before a server on this machine.
 */
export function temporalTarget({ temporal }: Pick<Config, 'temporal'>): TemporalTarget {
  const { address, namespace, profile, apiKeyEnv, apiKeyFile, tls } = temporal;
  const known = fromEnvironment(profile);
  const apiKey = apiKeyEnv
    ? environment(apiKeyEnv)
    : apiKeyFile
      ? read(apiKeyFile, 'temporal.apiKeyFile').trim()
      : undefined;
  return {
    namespace: namespace ?? known.namespace ?? 'default',
    connectionOptions: {
      ...known.connectionOptions,
      address: address ?? known.connectionOptions.address ?? DEFAULT_ADDRESS,
      ...(apiKey === undefined ? {} : { apiKey }),
      ...(tls === undefined ? {} : { tls: typeof tls === 'boolean' ? tls : tlsOf(tls) }),
    },
  };
}

function fromEnvironment(profile: string | undefined): {
  namespace?: string;
  connectionOptions: TemporalTarget['connectionOptions'];
} {
  try {
    const { namespace, connectionOptions } = loadClientConnectConfig(profile === undefined ? {} : { profile });
    const { address, tls, apiKey, metadata } = connectionOptions;
    return {
      ...(namespace === undefined ? {} : { namespace }),
      connectionOptions: {
        ...(address === undefined ? {} : { address }),
        ...(tls === undefined ? {} : { tls }),
        ...(typeof apiKey === 'string' ? { apiKey } : {}),
        ...(metadata === undefined ? {} : { metadata: metadata as Record<string, string> }),
      },
    };
  } catch (cause) {
    throw new HomarusError(
      'ConfigInvalid',
      `Temporal's environment or profile cannot be used: ${(cause as Error).message}`,
      { cause },
    );
  }
}

type TlsFiles = Exclude<Config['temporal']['tls'], boolean | undefined>;

function tlsOf({ caFile, certFile, keyFile, serverName }: TlsFiles) {
  const bytes = (path: string, field: string): Buffer => Buffer.from(read(path, field));
  return {
    ...(caFile === undefined ? {} : { serverRootCACertificate: bytes(caFile, 'temporal.tls.caFile') }),
    ...(certFile === undefined || keyFile === undefined
      ? {}
      : {
          clientCertPair: {
            crt: bytes(certFile, 'temporal.tls.certFile'),
            key: bytes(keyFile, 'temporal.tls.keyFile'),
          },
        }),
    ...(serverName === undefined ? {} : { serverNameOverride: serverName }),
  };
}

function environment(name: string): string {
  const value = process.env[name];
  if (value) return value;
  throw new HomarusError('ConfigInvalid', `temporal.apiKeyEnv: set ${name} in the environment`);
}

function read(path: string, field: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new HomarusError('ConfigInvalid', `${field}: ${(cause as Error).message}`, { cause });
  }
}
