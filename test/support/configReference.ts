import { configFile } from '../../src/configFile.ts';
import { configJsonSchema } from '../../src/configJsonSchema.ts';
import { formatBytes } from '../../src/domain/text.ts';

/** Every field of the configuration, made of its schema, for docs/configuration.md: never behind it. */

interface Schema {
  type?: string;
  description?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  minimum?: number;
  maximum?: number;
  pattern?: string;
  format?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
}

interface Field {
  /** Alternatives of what may stand there. */
  kinds: Set<string>;
  needed: boolean;
  fallback: string;
}

/** One of everything that has defaults of its own. */
const SAMPLE = {
  cluster: 'c',
  storages: { name: { type: 'files', path: '/s' } },
  nodes: [{ id: 'n', root: '/r' }],
  schedules: { name: { operation: 'backup', every: '1d' } },
  notifications: { name: { command: ['/bin/true'] } },
  metrics: { port: 1 },
  plugin: {},
};

/** A table in markdown, in the order of the schema. */
export function configReference(): string {
  const fields = new Map<string, Field>();
  const defaults = configFile.parse(SAMPLE);
  walk(configJsonSchema() as Schema, '', true, fields, defaults);
  // Its schema is that of the plugin that it names.
  Object.assign(fields.get('plugin') ?? {}, { needed: false, fallback: '`files`' });
  const rows = [...fields].map(
    ([name, { kinds, needed, fallback }]) =>
      `| \`${name}\` | ${[...kinds].join('; or ')} | ${needed ? 'must be given' : fallback} |`,
  );
  return ['| field | what may stand there | default |', '| --- | --- | --- |', ...rows, ''].join('\n');
}

function walk(schema: Schema, path: string, needed: boolean, fields: Map<string, Field>, known: unknown): void {
  for (const one of schema.anyOf ?? schema.oneOf ?? [schema]) {
    const { properties, required = [], items, additionalProperties: each } = one;
    const inside = (name: string): unknown => (known as Record<string, unknown> | undefined)?.[name];
    if (properties) {
      for (const [name, below] of Object.entries(properties)) {
        const given = below.default === undefined && required.includes(name);
        walk(below, path === '' ? name : `${path}.${name}`, given, fields, inside(name));
      }
    } else if (items?.properties) {
      walk(items, `${path}[]`, false, fields, (known as unknown[] | undefined)?.[0]);
    } else if (typeof each === 'object') {
      walk(each, `${path}.<name>`, false, fields, inside('name'));
    } else {
      const field = fields.get(path) ?? { kinds: new Set(), needed, fallback: fallbackOf(path, schema, known) };
      fields.set(path, field);
      field.kinds.add(kindOf(one));
      // Needed by one of several kinds of a thing, not by all.
      field.needed &&= needed;
    }
  }
}

function kindOf(schema: Schema): string {
  const { type, description, enum: names, const: only, items, minimum, maximum, format } = schema;
  const quoted = (value: unknown): string => `\`${String(value)}\``;
  if (names) return names.map(quoted).join(', ');
  if (only !== undefined) return quoted(only);
  if (description !== undefined) return description;
  if (type === 'integer') return `${minimum ?? 0} to ${maximum}`;
  if (type === 'array') return `list of ${items ? kindOf(items) : 'text'}`;
  if (type === 'boolean') return '`true`, `false`';
  if (type === 'null') return '`null`';
  if (format === 'uri') return 'URL';
  return type === 'string' ? 'text' : 'see [plugins](plugins.md)';
}

/** As operators would write it; none where it depends on the machine, or on other fields. */
function fallbackOf(path: string, { default: given, description }: Schema, known: unknown): string {
  const value = known ?? given;
  if (path === 'parallelism.threads') return 'processors';
  if (value === undefined || value === null || value === '') return '';
  // What the sample itself says.
  if (/^(cluster|storages|nodes)\b|[.](every|operation|command)$|^metrics[.]port$/.test(path)) return '';
  const text = Array.isArray(value) ? value.join(', ') : written(value, description);
  return text === '' ? '' : `\`${text}\``;
}

function written(value: unknown, description = ''): string {
  if (typeof value !== 'number') return String(value);
  if (description.includes('duration')) return shortDuration(value);
  if (description.includes('share')) return `${value * 100}%`;
  return description.includes('size') ? formatBytes(value) : String(value);
}

function shortDuration(ms: number): string {
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1_000],
  ] as const;
  if (ms === 0) return '0';
  const [unit, size] = units.find(([, one]) => ms % one === 0) ?? ['ms', 1];
  return `${ms / size}${unit}`;
}
