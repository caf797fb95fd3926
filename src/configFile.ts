import { availableParallelism } from 'node:os';
import { z } from 'zod';
import type { PluginFields } from './configPlugin.ts';
import { schedule } from './configSchedules.ts';
import { noticeEvents } from './domain/notices.ts';
import { fields } from './plugins/fields.ts';
import { retentionFields } from './retentionSchema.ts';

/** The configuration as operators write it: every field, its default, and what is accepted. docs/configuration.md lists them. */

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const name = z
  .string()
  .regex(NAME, 'give 1 to 63 of A-Z a-z 0-9 . _ -, beginning with a letter or digit')
  .meta({ description: 'a name' });
const { text, path, envName, duration, share, size } = fields(z);

const whole = (least: number, most: number) => z.number().int().min(least).max(most);

const timeouts = z
  .strictObject({
    retryFor: duration().optional(),
    stall: duration(1_000).optional(),
    connect: duration(100).optional(),
  })
  .optional();

const encryption = z
  .strictObject({
    passphraseFile: path.optional(),
    passphraseEnv: envName.optional(),
    passphraseCommand: text.optional(),
    keyFile: path.optional(),
  })
  .refine(
    (given) => Object.values(given).filter((one) => one !== undefined).length === 1,
    'give one of passphraseFile, passphraseEnv, passphraseCommand and keyFile',
  )
  .optional();

const files = z.strictObject({ type: z.literal('files'), path, encryption, timeouts });
const s3 = z.strictObject({
  type: z.literal('s3'),
  bucket: text,
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9._~:+=@/-]*$/, 'use A-Z a-z 0-9 . _ ~ : + = @ - and /')
    .optional(),
  region: text.optional(),
  endpoint: z.url({ protocol: /^https?$/, error: 'give a URL such as https://s3.example.org' }).optional(),
  pathStyle: z.boolean().optional(),
  storageClass: text.optional(),
  sse: z
    .strictObject({ type: z.enum(['AES256', 'aws:kms']), kmsKeyId: text.optional() })
    .refine(({ type, kmsKeyId }) => type === 'aws:kms' || kmsKeyId === undefined, 'kmsKeyId goes with type aws:kms')
    .optional(),
  caFile: path.optional(),
  proxy: z
    .url({ protocol: /^https?$/, error: 'give a URL such as http://proxy.example.org:3128' })
    .refine(
      (url) => new URL(url).username === '' && new URL(url).password === '',
      'secrets do not stand in this file; a proxy that asks for a password goes to HTTPS_PROXY in the environment',
    )
    .optional(),
  credentials: z
    .strictObject({
      accessKeyIdEnv: envName.optional(),
      secretAccessKeyEnv: envName.optional(),
      sessionTokenEnv: envName.optional(),
      file: path.optional(),
    })
    .refine(
      ({ accessKeyIdEnv, secretAccessKeyEnv, file }) =>
        file === undefined
          ? accessKeyIdEnv !== undefined && secretAccessKeyEnv !== undefined
          : accessKeyIdEnv === undefined,
      'give accessKeyIdEnv and secretAccessKeyEnv, or file; without credentials the chain of the AWS SDK is asked',
    )
    .optional(),
  encryption,
  timeouts,
});

const root = z.strictObject({ name, path, linkDir: path.optional() });
const node = z
  .strictObject({
    id: name,
    az: z.string().default(''),
    root: path.optional(),
    linkDir: path.optional(),
    roots: z
      .union([z.array(root).min(1), z.record(name, path)], { error: 'give a list of {name, path}, or name: path' })
      .optional(),
    stateDir: path.optional(),
    cacheDir: path.optional(),
  })
  .refine((one) => (one.root === undefined) !== (one.roots === undefined), 'give root, or roots: one of them')
  .refine(
    (one) => one.linkDir === undefined || one.root !== undefined,
    'linkDir goes with root; with roots each has its own',
  );

const token = z.strictObject({
  name,
  role: z.enum(['read', 'operate'], { error: 'give read or operate' }),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'give the hash that "homarus token create" printed, never the token'),
});

const notification = z
  .strictObject({
    on: z.array(z.enum(noticeEvents)).min(1).default(['failed', 'missed', 'overdue']),
    operations: z
      .array(z.enum(['backup', 'restore', 'drill', 'cleanup', 'verify']))
      .min(1)
      .optional(),
    webhook: z
      .strictObject({
        url: z.url({ protocol: /^https?$/, error: 'give a URL such as https://hooks.example.org/backup' }).optional(),
        urlEnv: envName.optional(),
        tokenEnv: envName.optional(),
      })
      .refine((one) => (one.url === undefined) !== (one.urlEnv === undefined), 'give url, or urlEnv: one of them')
      .optional(),
    command: z.array(z.string()).min(1, 'name at least the program').optional(),
    timeout: duration(100).default(30_000),
  })
  .refine(
    (one) => (one.webhook === undefined) !== (one.command === undefined),
    'give webhook, or command: one of them',
  );

/** All of a group are optional, and a group that is missing is one without fields. */
const group = <S extends z.ZodRawShape>(shape: S) => z.strictObject(shape).prefault({} as never);

export const configFile = z.strictObject({
  cluster: name,
  temporal: group({
    address: text.optional(),
    namespace: text.optional(),
    profile: text.optional(),
    apiKeyEnv: envName.optional(),
    apiKeyFile: path.optional(),
    tls: z
      .union([
        z.boolean(),
        z.strictObject({
          caFile: path.optional(),
          certFile: path.optional(),
          keyFile: path.optional(),
          serverName: text.optional(),
        }),
      ])
      .optional(),
  }),
  storages: z.record(name, z.discriminatedUnion('type', [files, s3], { error: 'type must be files or s3' })),
  defaultStorage: name.optional(),
  nodes: z.array(node).min(1, 'name at least one node'),
  /** What fits the plugin that the file names stands in its place: `configPlugin.ts`. */
  plugin: z.custom<PluginFields>(),
  parallelism: group({
    threads: whole(1, 256).default(availableParallelism()),
    requests: whole(1, 1024).default(32),
    uploadBytesPerSecond: size.refine((bytes) => bytes >= 1024, 'must be at least 1KiB').optional(),
    nice: whole(0, 19).default(0),
    ionice: z.union([z.literal('idle'), whole(0, 7)], { error: 'give idle, or a level from 0 to 7' }).optional(),
  }),
  compression: group({ level: whole(0, 19).default(1) }),
  lock: group({
    ttl: duration(2_000).default(120_000),
    refresh: duration(100).default(10_000),
    heartbeat: duration(1_000).default(30_000),
    throttle: duration(100).default(2_000),
  }),
  attempts: group({ backup: whole(1, 100).default(5) }),
  backup: group({ allowMissing: whole(0, 10_000).default(0), alertAfter: duration(60_000).optional() }),
  schedules: z.record(name, schedule).default({}),
  retention: group(retentionFields),
  cleanup: group({
    maxUnused: share.default(0.05),
    maxRepackBytes: size.nullable().default(null),
  }),
  api: group({
    host: text.default('127.0.0.1'),
    port: whole(0, 65_535).default(5515),
    tokens: z.array(token).default([]),
    tls: z.strictObject({ certFile: path, keyFile: path }).optional(),
    temporalUi: z.url({ protocol: /^https?$/, error: 'give a URL such as https://temporal.example.org' }).optional(),
  }),
  metrics: z.strictObject({ host: z.string().min(1).default('127.0.0.1'), port: whole(1, 65_535) }).optional(),
  notifications: z.record(name, notification).default({}),
  drill: group({ directory: path.optional() }),
  dataDir: path.default('/var/lib/homarus'),
});

export type ConfigFile = z.output<typeof configFile>;
