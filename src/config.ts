import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isMap, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import type { NoticeWay } from './activities/sendNotice.ts';
import type { Fault } from './configFaults.ts';
import { contradictions, insteadOfSecret, pathText, secretsIn } from './configFaults.ts';
import type { ConfigFile } from './configFile.ts';
import { configFile } from './configFile.ts';
import { type OutsidePlugin, outsidePlugin, pluginFaults, pluginSchema } from './configPlugin.ts';
import { scheduleDefinition } from './configSchedules.ts';
import { HomarusError } from './domain/errors.ts';
import type { LockTimes } from './domain/operations.ts';
import type { RewriteLimits } from './domain/requests.ts';
import type { RetentionPolicy } from './domain/retention.ts';
import type { ScheduleDefinition } from './domain/schedules.ts';
import type { Priority } from './node/priority.ts';
import type { StorageSettings } from './storage/openStore.ts';
import type { MetricsEndpoint } from './telemetry.ts';

/** What an operator may say, with all defaults filled in; times in ms. Holds the names of secrets, never a secret. */
export interface Config {
  cluster: string;
  temporal: ConfigFile['temporal'];
  storages: Readonly<Record<string, StorageSettings>>;
  defaultStorage: string;
  nodes: NodeConfig[];
  /** `folder`: of a plugin from outside. */
  plugin: { name: string; folder?: string; options: unknown };
  /** `uploadBytesPerSecond`: of each node. */
  parallelism: { threads: number; requests: number; uploadBytesPerSecond?: number | undefined } & Priority;
  compression: { level: number };
  /** `throttle`: between heartbeats. */
  lock: LockTimes & { throttle: number };
  attempts: { backup: number };
  /** So many nodes may be missing in a backup; the last complete one should not be older than `alertAfter`. */
  backup: { allowMissing: number; alertAfter?: number | undefined };
  schedules: ScheduleDefinition[];
  retention: RetentionPolicy;
  cleanup: RewriteLimits;
  api: ConfigFile['api'];
  metrics?: MetricsEndpoint | undefined;
  notifications: NoticeWay[];
  /** Where restore drills make their scratch directories on each node. */
  drill: { directory: string };
  /** What processes keep on this machine. */
  dataDir: string;
}

export interface NodeConfig {
  id: string;
  az: string;
  roots: { name: string; path: string; linkDir: string }[];
  stateDir: string;
  cacheDir: string;
}

const DEFAULT_ROOT = 'data';
const FILE_NAMES = ['homarus.yaml', 'homarus.yml', 'homarus.json'];

/** The file that was given, else the one that `HOMARUS_CONFIG` names, else `homarus.yaml` in `directory`. */
export function findConfigFile(
  given: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  directory: string,
): string {
  const named = given ?? env.HOMARUS_CONFIG;
  if (named) return resolve(directory, named);
  const found = FILE_NAMES.map((name) => join(directory, name)).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new HomarusError(
    'ConfigInvalid',
    `there is no configuration: no --config, no HOMARUS_CONFIG, no ${FILE_NAMES[0]} in ${directory}`,
    {
      hint: 'Name one with --config; examples/ has one for each storage.',
    },
  );
}

export async function loadConfig(path: string): Promise<Config> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (cause) {
    throw new HomarusError('ConfigInvalid', `the configuration cannot be read: ${(cause as Error).message}`, { cause });
  }
  return parseConfig(content, path, await outsidePlugin(parseDocument(content).toJS(), path));
}

/**
 * YAML, or JSON, which is YAML too. `ConfigInvalid` names all faults at once, in the order of the file. `outside`: what is
 * known of the plugin from outside that the file names.
 */
export function parseConfig(content: string, where: string, outside?: OutsidePlugin): Config {
  const lines = new LineCounter();
  const document = parseDocument(content, { lineCounter: lines });
  if (document.errors.length > 0) {
    const faults = document.errors.map(({ pos: [at], message }) => {
      const [what = ''] = message.split('\n');
      return `line ${lines.linePos(at).line}: ${what.replace(/ at line \d+, column \d+:?$/, '')}`;
    });
    throw invalid(where, faults);
  }
  if (!isMap(document.contents))
    throw invalid(where, ['it holds no fields; "cluster", "storages" and "nodes" are needed']);
  const raw: unknown = document.toJS();
  const schema = configFile.extend({ plugin: pluginSchema(raw, outside) });
  const parsed = schema.safeParse(raw);
  const faults = [
    ...secretsIn(raw),
    ...(parsed.success
      ? [...contradictions(parsed.data), ...pluginFaults(parsed.data, outside)]
      : parsed.error.issues.flatMap((issue) => faultsOf(issue, raw, schema))),
  ];
  if (faults.length === 0 && parsed.success) return configOf(parsed.data, outside);
  const placeOf = ({ path }: Fault): number => {
    for (let length = path.length; length > 0; length--) {
      const at = document.getIn(path.slice(0, length), true) as { range?: [number, number, number] } | undefined;
      if (at?.range) return at.range[0];
    }
    return 0;
  };
  const sorted = faults.map((fault) => ({ fault, place: placeOf(fault) })).sort((a, b) => a.place - b.place);
  throw invalid(
    where,
    sorted.map(({ fault }) => `${pathText(fault.path)}: ${fault.message}`),
  );
}

function invalid(where: string, faults: readonly string[]): HomarusError {
  const count = faults.length === 1 ? 'a fault' : `${faults.length} faults`;
  return new HomarusError(
    'ConfigInvalid',
    `${where} has ${count}:\n${faults.map((fault) => `  ${fault}`).join('\n')}`,
    {
      hint: 'Correct the configuration; docs/configuration.md has all fields.',
    },
  );
}

function faultsOf(issue: z.core.$ZodIssue, raw: unknown, schema: z.ZodType): Fault[] {
  const { path, message } = issue;
  if (issue.code === 'unrecognized_keys') {
    const known = knownAt(schema, path);
    // One that would hold a secret has a fault of its own.
    return issue.keys
      .filter((key) => insteadOfSecret(key) === undefined)
      .map((key) => ({ path: [...path, key], message: `there is no such field${didYouMean(key, known)}` }));
  }
  // Of several kinds of a thing, the one that comes nearest tells more.
  if (issue.code === 'invalid_union' && message === 'Invalid input') {
    return issue.errors
      .flat()
      .slice(0, 1)
      .flatMap((inner) => faultsOf({ ...inner, path: [...path, ...inner.path] }, raw, schema));
  }
  const missing = issue.code !== 'custom' && path.length > 0 && isMissing(raw, path);
  return [{ path, message: missing ? `is missing; ${expected(message)}` : message.replace(/^Invalid input: /, '') }];
}

const expected = (message: string): string =>
  message.replace(/^Invalid input: /, '').replace(/, received undefined$/, '');

function isMissing(raw: unknown, path: readonly PropertyKey[]): boolean {
  let at: unknown = raw;
  for (const part of path) {
    if (typeof at !== 'object' || at === null || !(part in at)) return true;
    at = (at as Record<PropertyKey, unknown>)[part];
  }
  return false;
}

/** The fields that the schema has where `path` leads to; for suggestions, so a miss does no harm. */
function knownAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let schemas: unknown[] = [schema];
  for (const part of [...path, undefined]) {
    schemas = schemas.flatMap(opened);
    if (part === undefined) break;
    schemas = schemas.flatMap((one) => {
      const { shape, element, valueType } = (one as { def: Record<string, unknown> }).def;
      if (shape) return [(shape as Record<PropertyKey, unknown>)[part]].filter(Boolean);
      return [element, valueType].filter(Boolean);
    });
  }
  return schemas.flatMap((one) => Object.keys(((one as { def: { shape?: object } }).def.shape ?? {}) as object));
}

/** Without what is wrapped around a schema. */
function opened(schema: unknown): unknown[] {
  const {
    innerType,
    options,
    in: input,
  } = (schema as { def: { innerType?: unknown; options?: unknown[]; in?: unknown } }).def;
  if (innerType) return opened(innerType);
  if (options) return options.flatMap(opened);
  return input ? opened(input) : [schema];
}

function didYouMean(key: string, known: readonly string[]): string {
  const near = known
    .map((name) => ({ name, distance: distance(key.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, distance: edits }) => edits <= Math.max(1, Math.floor(name.length / 3)))
    .sort((a, b) => a.distance - b.distance)[0];
  if (near) return `; did you mean "${near.name}"?`;
  return known.length > 0 ? `; there is ${known.join(', ')}` : '';
}

/** Levenshtein's: insertions, deletions and replacements. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, place) => place);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

function configOf(file: ConfigFile, outside: OutsidePlugin | undefined): Config {
  const { dataDir, retention } = file;
  const { name, options } = file.plugin;
  return {
    ...file,
    plugin: { name, ...(outside?.folder === undefined ? {} : { folder: outside.folder }), options },
    defaultStorage: file.defaultStorage ?? (Object.keys(file.storages)[0] as string),
    notifications: Object.entries(file.notifications).map(([notified, way]) => ({ name: notified, ...way })),
    drill: { directory: file.drill.directory ?? join(dataDir, 'drill') },
    schedules: Object.entries(file.schedules).map(([schedule, fields]) => scheduleDefinition(schedule, fields)),
    retention: Object.fromEntries(Object.entries(retention).filter(([, value]) => value !== undefined)),
    nodes: file.nodes.map(({ id, az, root, linkDir, roots, stateDir, cacheDir }) => ({
      id,
      az,
      roots: (root === undefined ? listOf(roots) : [{ name: DEFAULT_ROOT, path: root, linkDir }]).map((one) => ({
        name: one.name,
        path: one.path,
        linkDir: one.linkDir ?? join(one.path, '.homarus'),
      })),
      stateDir: stateDir ?? join(dataDir, 'nodes', id),
      cacheDir: cacheDir ?? join(dataDir, 'cache', id),
    })),
  };
}

function listOf(
  roots: ConfigFile['nodes'][number]['roots'],
): { name: string; path: string; linkDir?: string | undefined }[] {
  if (Array.isArray(roots)) return roots;
  return Object.entries(roots ?? {}).map(([name, path]) => ({ name, path }));
}

/** All that is configured, defaults too. It can be shown: secrets are named in it, never told. */
export const showConfig = (config: Config): object => ({ ...config });
