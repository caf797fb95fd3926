import { readFileSync } from 'node:fs';
import { createApi } from '../api/server.ts';
import { openTemporalDoor } from '../api/temporalDoor.ts';
import type { TemporalTarget } from '../client/connect.ts';
import { SharedReading } from '../client/sharedReading.ts';
import type { Config } from '../config.ts';
import { HomarusError } from '../domain/errors.ts';
import type { MetricsEndpoint } from '../telemetry.ts';
import { log } from '../telemetry.ts';
import type { Repositories } from '../workers/settings.ts';
import { storageNamed } from '../workers/settings.ts';
import type { Started } from '../workers/supervisor.ts';

/** ms */
const SCRAPED_WITHIN = 5_000;

/** Serves the facade until it is told to stop. Temporal need not be there for it to start. */
export async function serveApi(
  config: Config,
  target: TemporalTarget,
  repositories: Repositories,
  { metrics, stop, started }: { metrics: MetricsEndpoint | undefined; stop: AbortSignal; started: Started },
): Promise<void> {
  const { host, port, tokens, tls } = config.api;
  // `homarus dev` knows where the UI of its own server is.
  const temporalUi = config.api.temporalUi ?? process.env.HOMARUS_TEMPORAL_UI;
  const temporal = openTemporalDoor(target, config.cluster, {
    nodes: config.nodes,
    schedules: config.schedules.map(({ name }) => name),
  });
  const app = createApi({
    cluster: config.cluster,
    nodes: config.nodes.map(({ id, az }) => ({ id, az })),
    storages: Object.keys(config.storages),
    defaultStorage: config.defaultStorage,
    retention: config.retention,
    alertAfter: config.backup.alertAfter,
    temporalUi: temporalUi ? `${temporalUi.replace(/\/+$/, '')}/namespaces/${target.namespace}/workflows` : null,
    tokens,
    ...(tls ? { tls: { cert: file(tls.certFile, 'certFile'), key: file(tls.keyFile, 'keyFile') } } : {}),
    metrics: metrics ? () => scraped(metrics) : null,
    storage: storageDoor(config, repositories),
    temporal,
    log,
  });
  await app.listen({ host, port });
  if (!tls && tokens.length > 0)
    log('warn', 'the facade has no api.tls: put it behind a proxy that has, or tokens can be read');
  log('info', 'facade started', { host, port, tls: tls !== undefined, tokens: tokens.length });
  started(() => app.server.listening);
  await new Promise<void>((resolve) => {
    if (stop.aborted) resolve();
    else stop.addEventListener('abort', () => resolve(), { once: true });
  });
  await app.close();
  await temporal.close();
}

/** From the endpoint of this very process. */
async function scraped({ host, port }: MetricsEndpoint): Promise<string> {
  const anywhere: Record<string, string> = { '0.0.0.0': '127.0.0.1', '::': '::1' };
  const address = anywhere[host] ?? host;
  const answer = await fetch(`http://${address.includes(':') ? `[${address}]` : address}:${port}/metrics`, {
    signal: AbortSignal.timeout(SCRAPED_WITHIN),
  });
  return answer.text();
}

function storageDoor(config: Config, repositories: Repositories) {
  const shared = new Map<string, SharedReading>();
  return {
    async look(storage: string | undefined) {
      const { name } = storageNamed(config, storage);
      const known = shared.get(name) ?? new SharedReading(() => repositories.open(name, { anyCluster: true }));
      shared.set(name, known);
      return known.look();
    },
  };
}

function file(path: string, field: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new HomarusError('ConfigInvalid', `api.tls.${field}: ${(cause as Error).message}`, { cause });
  }
}
