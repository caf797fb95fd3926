import { setTimeout as pause } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { Reading } from '../client/reading.ts';
import { isOverdue, lastSuccess, newestFirst } from '../client/reading.ts';
import { listSchedules } from '../client/schedules.ts';
import type { Config } from '../config.ts';
import { coordinatorQueue } from '../domain/cluster.ts';
import type { Notice } from '../domain/notices.ts';
import { formatDuration } from '../domain/text.ts';
import { gaugeSchedule, gaugeStorage } from '../metrics.ts';
import { presentRoot } from '../storage/roots.ts';
import { log } from '../telemetry.ts';
import type { Repositories } from './settings.ts';

/** What a coordinator looks at by itself: how old the last backup is, and which starts of schedules were missed. */

const EVERY = 60_000;

/** Until `stop`. What cannot be seen now is looked at again. */
export async function watchCluster(
  config: Config,
  client: Client,
  repositories: Repositories,
  stop: AbortSignal,
): Promise<void> {
  while (!stop.aborted) {
    const looks = [
      ...Object.keys(config.storages).map((storage) => watchStorage(config, client, repositories, storage, stop)),
      watchSchedules(config, client),
    ];
    for (const look of await Promise.allSettled(looks)) {
      if (look.status === 'rejected' && !stop.aborted)
        log('debug', `the cluster is not watched: ${(look.reason as Error).message}`, { cluster: config.cluster });
    }
    await pause(EVERY, undefined, { signal: stop }).catch(() => undefined);
  }
}

async function watchStorage(
  config: Config,
  client: Client,
  repositories: Repositories,
  storage: string,
  signal: AbortSignal,
): Promise<void> {
  const repository = await repositories.open(storage, { signal });
  const reading: Reading = { repository, at: await presentRoot(repository, { signal }) };
  const [newest] = newestFirst(reading);
  const last = lastSuccess(reading);
  gaugeStorage(
    { cluster: config.cluster, storage },
    {
      lastSuccess: last && Date.parse(last.finished),
      backups: reading.at.root.backups.length,
      ...{ bytes: newest?.bytes ?? 0, stored: newest?.stored ?? 0 },
    },
  );
  const { alertAfter } = config.backup;
  if (storage !== config.defaultStorage || alertAfter === undefined) return;
  if (!isOverdue(reading, alertAfter, new Date())) return;
  const since = last === undefined ? 'there is none' : `the last one is ${last.name}`;
  await tellOnce(config, client, `overdue-${last?.name ?? 'none'}`, {
    event: 'overdue',
    message: `cluster ${config.cluster} has no complete backup of the last ${formatDuration(alertAfter)}: ${since}`,
  });
}

async function watchSchedules({ cluster, ...config }: Config, client: Client): Promise<void> {
  const known = config.schedules.map(({ name }) => name);
  if (known.length === 0) return;
  for (const { name, missed, paused } of await listSchedules(client, cluster, known)) {
    gaugeSchedule({ cluster, schedule: name }, missed, paused);
    if (missed === 0) continue;
    await tellOnce({ ...config, cluster }, client, `missed-${name}-${missed}`, {
      event: 'missed',
      schedule: name,
      message: `schedule ${name} of cluster ${cluster} has missed ${missed} of its starts so far`,
    });
  }
}

/** Whoever of the coordinators sees it first; `what` is of this very thing. */
async function tellOnce(
  { cluster, notifications }: Pick<Config, 'cluster' | 'notifications'>,
  client: Client,
  what: string,
  notice: Omit<Notice, 'cluster' | 'at'>,
): Promise<void> {
  if (!notifications.some(({ on }) => on.includes(notice.event))) return;
  try {
    await client.workflow.start('notify', {
      workflowId: `notify-${cluster}-${what}`,
      taskQueue: coordinatorQueue(cluster),
      args: [cluster, { ...notice, cluster, at: new Date().toISOString() } satisfies Notice],
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      staticSummary: notice.message.slice(0, 200),
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}
