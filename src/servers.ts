import { randomBytes } from 'node:crypto';
import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { findServer, type Report } from './servers/find.ts';
import { freePort, launch, type Running, untilReady } from './servers/process.ts';

export { type Found, findServer, givenAddress, type Report } from './servers/find.ts';
export { freePort } from './servers/process.ts';
export type { ServerName } from './servers/table.ts';

const LOOPBACK = '127.0.0.1';
// A development server forgets a finished run after a day; a backup's history is worth a season.
const RETENTION = '90 days';

export interface TemporalOptions {
  /** Kept over restarts; a server of another version may refuse it. */
  dbFilename: string;
  logFile: string;
  report: Report;
  namespace?: string;
  /** Free ones are taken for those not given: give both to start again where one was. */
  ports?: { grpc?: number; ui?: number };
  /** Of the server's dynamic configuration. */
  settings?: Record<string, number>;
  detached?: boolean;
}

export interface TemporalServer extends Running {
  address: string;
  namespace: string;
  uiUrl: string;
  ports: { grpc: number; ui: number };
}

/** A Temporal server of our own on 127.0.0.1, answering and with its namespace ready. */
export async function startTemporal(options: TemporalOptions): Promise<TemporalServer> {
  const { dbFilename, logFile, report, namespace = 'default', settings = {}, detached = false } = options;
  const { path } = await findServer('temporal', report);
  const ports = { grpc: await freePort(options.ports?.grpc), ui: await freePort(options.ports?.ui) };
  const address = `${LOOPBACK}:${ports.grpc}`;
  const running = launch(
    path,
    [
      ...['server', 'start-dev', '--ip', LOOPBACK, '--port', `${ports.grpc}`, '--ui-port', `${ports.ui}`],
      ...['--namespace', namespace, '--db-filename', dbFilename, '--log-level', 'warn'],
      ...['--sqlite-pragma', 'journal_mode=wal', '--sqlite-pragma', 'synchronous=2'],
      ...Object.entries(settings).flatMap(([key, value]) => ['--dynamic-config-value', `${key}=${value}`]),
    ],
    { logFile, detached },
  );
  await untilReady('the Temporal server', running, logFile, () => prepareNamespace(address, namespace));
  return { ...running, address, namespace, uiUrl: `http://${LOOPBACK}:${ports.ui}`, ports };
}

async function prepareNamespace(address: string, namespace: string): Promise<void> {
  const connection = await Connection.connect({ address, connectTimeout: '2s' });
  try {
    await connection.workflowService.describeNamespace({ namespace });
    await connection.workflowService.updateNamespace({
      namespace,
      config: { workflowExecutionRetentionTtl: msToTs(RETENTION) },
    });
  } finally {
    await connection.close();
  }
}

export interface S3Options {
  /** Each bucket is a folder in it. */
  dir: string;
  logFile: string;
  report: Report;
  /** As for Temporal: given, to start again where one was. */
  port?: number;
  keys?: S3Keys;
  detached?: boolean;
}

export interface S3Keys {
  accessKeyId: string;
  secretAccessKey: string;
}

export interface S3Server extends Running, S3Keys {
  endpoint: string;
  region: string;
  port: number;
}

/** An S3 server of our own on 127.0.0.1 that keeps its objects in a folder; it has no bucket yet. */
export async function startS3(options: S3Options): Promise<S3Server> {
  const { dir, logFile, report, detached = false } = options;
  const { path } = await findServer('versitygw', report);
  const keys = options.keys ?? { accessKeyId: randomKey(10), secretAccessKey: randomKey(20) };
  const port = await freePort(options.port);
  const region = 'us-east-1';
  const endpoint = `http://${LOOPBACK}:${port}`;
  const running = launch(path, ['--port', `${LOOPBACK}:${port}`, '--region', region, '--quiet', 'posix', dir], {
    logFile,
    detached,
    env: { ...process.env, ROOT_ACCESS_KEY: keys.accessKeyId, ROOT_SECRET_KEY: keys.secretAccessKey },
  });
  // Any answer will do: unsigned, this one is a refusal.
  await untilReady('the S3 server', running, logFile, () => fetch(endpoint, { signal: AbortSignal.timeout(2000) }));
  const { accessKeyId, secretAccessKey } = keys;
  return { ...running, accessKeyId, secretAccessKey, endpoint, region, port };
}

const randomKey = (bytes: number): string => randomBytes(bytes).toString('hex');
