import { access, constants, statfs } from 'node:fs/promises';
import type { Connection } from '@temporalio/client';
import { isOverdue, lockState } from '../client/reading.ts';
import type { Config } from '../config.ts';
import { HomarusError } from '../domain/errors.ts';
import { formatBytes } from '../domain/text.ts';
import { LinkDirectory } from '../node/linkDirectory.ts';
import { openStore } from '../storage/openStore.ts';
import { proveStorage } from '../storage/probe.ts';
import { version } from '../version.ts';
import type { Context } from './context.ts';

/** What `homarus doctor` looks at, one thing after another: what is amiss keeps nothing else from being looked at. */

export interface Finding {
  what: string;
  /** `unsure`: it works, or cannot be told from here, but somebody should know. */
  state: 'well' | 'amiss' | 'unsure';
  detail: string;
  /** What to do. */
  mend?: string;
}

type Found = Omit<Finding, 'what'>;

const well = (detail: string): Found => ({ state: 'well', detail });
const unsure = (detail: string, mend: string): Found => ({ state: 'unsure', detail, mend });
const amiss = (detail: string, mend: string): Found => ({ state: 'amiss', detail, mend });

/** Clocks that differ by more make locks wait for nothing, ms. */
const CLOCK = 5_000;
/** Of Temporal's server: the oldest that has all that is asked of it. */
const OLDEST_SERVER = [1, 27] as const;
/** A file system with less room is told, share. */
const LITTLE_SPACE = 0.05;

/** Rejects only when the configuration cannot be read. */
export async function examine(context: Context, storage: string | undefined): Promise<Finding[]> {
  const config = await context.config();
  const findings: Finding[] = [];
  const look = async (what: string, body: () => Promise<Found>): Promise<boolean> => {
    const found = await body().catch((error: unknown): Found => {
      const { message, hint } = error as Partial<HomarusError>;
      return amiss(message ?? String(error), hint ?? '');
    });
    findings.push({ what, ...found });
    return found.state !== 'amiss';
  };
  await look('configuration', async () => well(`${context.configFile()}: ${config.nodes.length} nodes, no fault`));
  const name = await context.storageName(storage);
  // A machine whose own clock is wrong would take every worker for dead: Temporal's is rather as the storage's.
  let now = context.now();
  const ofClock = (ahead: number): void => {
    now = new Date(context.now().getTime() + ahead);
  };
  if (await look(`storage ${name}`, () => ofStorage(context, storage, ofClock))) {
    await look(`repository in ${name}`, () => ofRepository(context, config, storage));
  }
  if (await look('Temporal', () => ofTemporal(context))) {
    await look('search attributes', () => ofSearchAttributes(context));
    await look('coordinators', () => ofCoordinators(context, config, now));
    for (const { id } of config.nodes) await look(`node ${id}`, () => ofNode(context, config, id, now));
    if (config.schedules.length > 0) await look('schedules', () => ofSchedules(context, config));
  }
  for (const node of config.nodes) {
    for (const root of node.roots) {
      // Only what is on this machine can be looked at.
      if (!(await isThere(root.path))) continue;
      const what = `root ${root.path} of node ${node.id}, on this machine`;
      await look(what, async () => {
        new LinkDirectory(node.id, root).ensureUsable();
        return ofSpace(root.path);
      });
    }
  }
  return findings;
}

async function ofTemporal(context: Context): Promise<Found> {
  const { address, namespace } = await context.temporal();
  const client = await context.client();
  const { serverVersion } = await client.workflowService.getSystemInfo({});
  await client.workflowService.describeNamespace({ namespace }).catch((cause: Error) => {
    throw new HomarusError('TemporalUnreachable', `namespace ${namespace} at ${address}: ${cause.message}`, {
      hint: `Make it: temporal operator namespace create -n ${namespace} --retention 90d`,
    });
  });
  const detail = `server ${serverVersion} at ${address}, namespace ${namespace}`;
  const [major = 0, minor = 0] = serverVersion.split('.').map(Number);
  if (major < OLDEST_SERVER[0] || (major === OLDEST_SERVER[0] && minor < OLDEST_SERVER[1]))
    return unsure(detail, `Homarus was never tried with a server older than ${OLDEST_SERVER.join('.')}: upgrade it.`);
  return well(detail);
}

async function ofSearchAttributes(context: Context): Promise<Found> {
  const { missingSearchAttributes } = await import('../client/searchAttributes.ts');
  const client = await context.client();
  const { namespace } = client.options;
  const missing = await missingSearchAttributes(client.connection as Connection, namespace);
  if (missing.length === 0) return well('all are registered');
  const commands = missing.map((name) => `--name ${name} --type Keyword`).join(' ');
  return unsure(
    `${missing.join(', ')} are not registered, so operations cannot be found by them`,
    `Start a coordinator, or: temporal operator search-attribute create ${commands} -n ${namespace}`,
  );
}

async function ofCoordinators(context: Context, { cluster }: Config, now: Date): Promise<Found> {
  const { coordinatorVersions } = await import('../client/health.ts');
  const versions = await coordinatorVersions(await context.client(), cluster, now);
  if (versions.length === 0) return amiss('none is at work: nothing can run', 'Start one with "homarus coordinator".');
  return ofVersions(versions, `${versions.length} at work`);
}

async function ofNode(context: Context, { cluster, nodes }: Config, id: string, now: Date): Promise<Found> {
  const { nodesOf } = await import('../client/health.ts');
  const [health] = await nodesOf(
    await context.client(),
    cluster,
    nodes.filter((node) => node.id === id),
    now,
  );
  if (!health?.alive) return amiss('no worker of it asks for work', `Start it: homarus node --node ${id}`);
  return ofVersions([health.version], `alive, ${health.worker ?? ''}`);
}

/** `theirs`: of workers; null where Temporal does not tell. */
export function ofVersions(theirs: readonly (string | null)[], detail: string): Found {
  const others = [...new Set(theirs)].filter((one) => one !== null && one !== version);
  if (others.length === 0) return well(`${detail}, version ${version}`);
  const mend = 'Two neighbouring versions may run for as long as an upgrade takes: coordinators first, then nodes.';
  return unsure(`${detail}, version ${others.join(', ')}; this is ${version}`, mend);
}

async function ofSchedules(context: Context, { cluster, schedules }: Config): Promise<Found> {
  const { applySchedules, listSchedules } = await import('../client/schedules.ts');
  const client = await context.client();
  const changes = await applySchedules(client, cluster, schedules, { dryRun: true });
  const open = changes.filter(({ change }) => change !== 'unchanged').map(({ name }) => name);
  if (open.length > 0)
    return unsure(`not as configured: ${open.join(', ')}`, 'Run "homarus schedules apply", or start a coordinator.');
  const listed = await listSchedules(client, cluster);
  const missed = listed.filter((one) => one.missed > 0).map(({ name, missed: count }) => `${name} (${count})`);
  if (missed.length > 0)
    return unsure(`missed starts: ${missed.join(', ')}`, 'Temporal was down for longer than catchUp.');
  const paused = listed.filter((one) => one.paused).map(({ name }) => name);
  if (paused.length > 0) return unsure(`paused: ${paused.join(', ')}`, 'Resume with "homarus schedules resume NAME".');
  return well(`${listed.length} as configured`);
}

/** `onClock` is told by how much the storage's clock is ahead of this machine's, ms. */
async function ofStorage(
  context: Context,
  storage: string | undefined,
  onClock: (ahead: number) => void,
): Promise<Found> {
  const settings = await context.storage(storage);
  const store = await openStore(settings);
  try {
    await proveStorage(store);
    const ahead = (await store.now()) - Date.now();
    onClock(ahead);
    const seconds = Math.round(ahead / 1000);
    const clock = `its clock is ${Math.abs(seconds)} s ${seconds < 0 ? 'behind' : 'ahead of'} this machine's`;
    if (Math.abs(ahead) > CLOCK) return unsure(clock, 'Let both follow NTP: locks are timed by the storage.');
    return well(`${store.description}: reads, writes, conditional writes, lists and deletes as it must; ${clock}`);
  } finally {
    await store.close();
  }
}

async function ofRepository(context: Context, config: Config, storage: string | undefined): Promise<Found> {
  const reading = await context.reading(storage);
  const { root } = reading.at;
  const { holder, expired } = await lockState(reading);
  const lock = holder === null || expired ? 'free' : `locked by ${holder.kind} ${holder.operation}`;
  const detail = `of cluster ${root.cluster}, ${root.backups.length} backups, ${lock}`;
  const { alertAfter } = config.backup;
  if (alertAfter !== undefined && isOverdue(reading, alertAfter, context.now()))
    return amiss(`${detail}; the last complete backup is older than backup.alertAfter`, 'Run "homarus backup".');
  return well(detail);
}

async function ofSpace(path: string): Promise<Found> {
  await access(path, constants.R_OK | constants.X_OK);
  const { bavail, blocks, bsize } = await statfs(path);
  const free = `readable, makes hard links, ${formatBytes(bavail * bsize)} free`;
  if (blocks > 0 && bavail / blocks < LITTLE_SPACE) return unsure(free, 'A restore needs room for what it writes.');
  return well(free);
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
