import { z } from 'zod';
import type { ListedOperation, NodeHealth } from '../client/health.ts';
import type { OperationStatus } from '../client/progress.ts';
import type { BackupDetails, ListedBackup, LockState } from '../client/reading.ts';
import type { NodeProgress } from '../domain/operations.ts';
import type { Verdict } from '../domain/retention.ts';
import { retentionFields } from '../retentionSchema.ts';

/** What requests may say and what answers hold; one schema for each noun, under its name in the OpenAPI document. */

const count = z.int().min(0);
const time = z.iso.datetime();
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'give a name of 1 to 63 of A-Z a-z 0-9 . _ -');

/** Of requests. */
export const storageName = name.meta({
  description: 'A storage of the configuration; the default one where it is missing',
  examples: ['main'],
});
export const backupName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'give the name of a backup, or latest')
  .meta({ description: 'Name of a backup, or `latest`', examples: ['latest'] });
export const operationId = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/, 'give the id of an operation')
  .meta({
    description: 'Id of an operation, which is that of its workflow',
    examples: ['backup-prod-20261124T031500Z-4f2a'],
  });
export const nodeId = name;
export const nodeIds = z.array(name).min(1).max(1_000);
export const directory = z
  .string()
  .max(4_096)
  .regex(/^\/[^\0]*$/, 'give an absolute path, which means the same on every machine');
export const storageQuery = z.strictObject({ storage: storageName.optional() });
export const backupParams = z.strictObject({ backup: backupName });
export const operationParams = z.strictObject({ operation: operationId });
export const common = {
  storage: storageName.optional(),
  waitForLock: z
    .int()
    .min(0)
    .max(7 * 86_400_000)
    .optional()
    .describe('Wait so long for a lock that somebody else holds, ms'),
};
export const retention = z.strictObject(retentionFields);
export const retentionUse = retention.describe('Takes the place of the same fields of the configuration');

/** Of answers. */
export const started = z.object({ operation: z.string() }).meta({ id: 'Started' });

const drill = {
  ...{ at: time, by: z.string(), operation: z.string(), ok: z.boolean(), reason: z.string().exactOptional() },
  ...{ percent: z.number(), files: count, bytes: count, fetchedBytes: count, tookMs: count },
  expectedMs: count.describe('How long a restore of the whole backup would take'),
  checked: z.boolean().describe("The plugin's check passed"),
};

const entry = {
  name: z.string(),
  id: z.string(),
  kind: z.literal('full'),
  epoch: count,
  started: time,
  finished: time,
  label: z.string(),
  plugin: z.string(),
  nodes: count,
  files: count,
  bytes: count.describe('Of all files'),
  added: count.describe('Bytes that this backup brought, before compression'),
  stored: count.describe('The same after compression'),
  partial: z.array(z.string()).exactOptional().describe('Nodes that are missing in it'),
  requires: z.array(z.string()).exactOptional().describe('Backups that it cannot do without'),
  pinned: z.boolean(),
  pinnedUntil: time.nullable(),
  drill: z.object(drill).nullable().describe('How its latest restore drill went'),
};
export const drillOfBackup = z.object({ backup: z.string(), ...drill }).meta({ id: 'Drill' });
export const backup = z
  .object({ ...entry, manifest: z.object({ length: count, hash: z.string() }) })
  .meta({ id: 'Backup' }) satisfies z.ZodType<ListedBackup>;

const totals = z.object({ entries: count, files: count, bytes: count });
const nodeOfBackup = z.object({
  id: z.string(),
  az: z.string(),
  host: z.string(),
  roots: z.array(
    z.object({
      name: z.string(),
      totals,
      snapshotAt: time,
      skipped: count.describe('FIFOs, sockets, devices and unreadable files that were left out'),
      vanished: count.describe('Files that were gone before they could be linked'),
    }),
  ),
});
export const backupDetails = z
  .object({
    ...entry,
    manifest: z.object({
      version: z.literal(1),
      repository: z.string(),
      cluster: z.string(),
      name: z.string(),
      id: z.string(),
      kind: z.literal('full'),
      label: z.string(),
      started: time,
      finished: time,
      attempt: count,
      epoch: count,
      plugin: z.object({ name: z.string(), version: count, data: z.unknown() }),
      nodes: z.array(nodeOfBackup),
      partial: z.array(z.string()).exactOptional(),
      streams: z.array(z.object({ name: z.string(), bytes: count })),
      totals,
    }),
  })
  .meta({ id: 'BackupDetails' }) satisfies z.ZodType<BackupDetails>;

export const verdict = z
  .object({ name: z.string(), keep: z.boolean(), reasons: z.array(z.string()) })
  .meta({ id: 'Verdict' }) satisfies z.ZodType<Verdict>;

const operationState = z.enum(['running', 'succeeded', 'failed', 'cancelled']);
export const operationEntry = z
  .object({
    id: z.string(),
    kind: z.string(),
    state: operationState,
    started: time,
    ended: time.nullable(),
    by: z.string(),
  })
  .meta({ id: 'OperationEntry' }) satisfies z.ZodType<ListedOperation>;

const nodeProgress = z
  .object({
    filesDone: z.number(),
    filesTotal: z.number(),
    bytesDone: z.number(),
    bytesTotal: z.number(),
    rate: z.number().describe('Bytes per second, of late'),
    at: z.string().describe('What it is at, e.g. a path'),
  })
  .meta({ id: 'NodeProgress' }) satisfies z.ZodType<NodeProgress>;

export const operation = z
  .object({
    id: z.string(),
    kind: z.string(),
    state: operationState,
    started: time,
    ended: time.nullable(),
    by: z.string(),
    progress: z
      .object({
        kind: z.string(),
        phase: z.string(),
        attempt: count,
        attempts: count,
        cluster: z.string(),
        done: z.array(z.string()).describe('Nodes that finished the phase'),
        nodes: z.array(z.string()),
        missing: z.array(z.string()).exactOptional(),
        step: z.string().exactOptional(),
        backup: z.string().exactOptional(),
        lastFailure: z.string().exactOptional(),
        byNode: z.record(z.string(), nodeProgress),
      })
      .nullable()
      .describe('Null when it has ended, or no coordinator answers'),
    result: z.unknown().describe('Of its kind; docs/api.md has the shapes'),
    error: z.object({ code: z.string(), message: z.string(), hint: z.string() }).nullable(),
  })
  .meta({ id: 'Operation' }) satisfies z.ZodType<Loose<OperationStatus>>;
/** Kinds and phases are told as text: a client need not know them all. */
type Loose<T extends OperationStatus> = Omit<T, 'kind' | 'progress'> & { kind: string; progress: unknown };

export const lock = z
  .object({
    holder: z
      .object({
        operation: z.string(),
        run: z.string(),
        kind: z.string(),
        by: z.string(),
        since: time,
        ttl: count.describe('ms'),
      })
      .nullable(),
    epoch: count,
    expires: time.nullable(),
    expired: z.boolean().describe('It was not refreshed in time, and keeps nobody out any more'),
  })
  .meta({ id: 'Lock' }) satisfies z.ZodType<Omit<LockState, 'holder'> & { holder: unknown }>;

export const nodeHealth = z
  .object({
    node: z.string(),
    az: z.string(),
    alive: z.boolean(),
    lastSeen: time.nullable(),
    worker: z.string().nullable(),
    version: z.string().nullable().describe('Of homarus, that this worker runs'),
  })
  .meta({ id: 'NodeHealth' }) satisfies z.ZodType<NodeHealth>;
