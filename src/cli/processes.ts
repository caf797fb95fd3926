import type { Config } from '../config.ts';
import { HomarusError } from '../domain/errors.ts';
import type { MetricsEndpoint } from '../telemetry.ts';
import { temporalTarget } from '../temporalTarget.ts';
import { Repositories } from '../workers/settings.ts';
import { Supervisor } from '../workers/supervisor.ts';

/** What `homarus node`, `coordinator`, `api` and `run` do: serve until they are told to stop. */
export interface Parts {
  /** Ids of the nodes that this machine is. */
  nodes: readonly string[];
  coordinator: boolean;
  api: boolean;
}

/** Runs parts of the cluster in this process. Answers when SIGINT or SIGTERM came and all has ended gently. */
export async function runParts(config: Config, parts: Parts): Promise<void> {
  const stopping = stopSignal();
  const repositories = new Repositories(config);
  try {
    await repositories.checkKeys();
    const metrics = metricsOf(config, process.env.HOMARUS_METRICS);
    if (metrics !== undefined) await countProcess(config.cluster, metrics, parts, stopping);
    await runWith(repositories, config, parts, { metrics, stop: stopping });
  } finally {
    await repositories.close();
  }
}

/** `given`: of this process alone, where several are on one machine: `host:port`, or `off`. */
function metricsOf({ metrics }: Config, given: string | undefined): MetricsEndpoint | undefined {
  if (given === undefined || given === '') return metrics;
  if (given === 'off') return undefined;
  const [, host, port] = /^(.+):(\d{1,5})$/.exec(given) ?? [];
  if (host !== undefined && Number(port) <= 65_535) return { host, port: Number(port) };
  throw new HomarusError('ConfigInvalid', `HOMARUS_METRICS: "${given}" is no host:port, and not "off"`);
}

/** Before any part starts: the endpoint is the process's. */
async function countProcess(cluster: string, metrics: MetricsEndpoint, parts: Parts, stop: AbortSignal): Promise<void> {
  const { installRuntime } = await import('../telemetry.ts');
  const { sampleProcess } = await import('../metrics.ts');
  installRuntime(metrics);
  const roles = [...(parts.coordinator ? ['coordinator'] : []), ...parts.nodes, ...(parts.api ? ['api'] : [])];
  sampleProcess({ cluster, process: roles.join('+') }, stop);
}

async function runWith(
  repositories: Repositories,
  config: Config,
  parts: Parts,
  { metrics, stop: stopping }: { metrics: MetricsEndpoint | undefined; stop: AbortSignal },
): Promise<void> {
  const target = temporalTarget(config);
  const running: Promise<void>[] = [];
  const failed = new AbortController();
  const stop = AbortSignal.any([stopping, failed.signal]);
  const start = (part: Promise<void>): void => {
    // One part that fails ends the others: a process that lives does all that it was asked to do.
    part.catch(() => failed.abort());
    running.push(part);
  };
  const all = Number(parts.coordinator) + parts.nodes.length + Number(parts.api);
  const supervisor = new Supervisor(all);
  const { started } = supervisor;
  stop.addEventListener('abort', () => supervisor.stopping(), { once: true });
  if (parts.coordinator) {
    const { runCoordinator } = await import('../workers/coordinator.ts');
    start(runCoordinator(config, target, repositories, stop, started));
  }
  if (parts.nodes.length > 0) {
    const { runNode } = await import('../workers/node.ts');
    for (const node of parts.nodes) start(runNode(config, target, repositories, node, stop, started));
  }
  if (parts.api) {
    const { serveApi } = await import('./facade.ts');
    start(serveApi(config, target, repositories, { metrics, stop, started }));
  }
  await Promise.allSettled(running);
  // An open channel to the parent would keep this process alive.
  if (process.connected) process.disconnect();
  await Promise.all(running);
}

/** Aborted by SIGINT or SIGTERM, and when a parent that holds a channel to this process is gone. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  if (process.channel) process.once('disconnect', stop);
  return controller.signal;
}
