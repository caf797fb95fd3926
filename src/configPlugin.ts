import { z } from 'zod';
import type { Fault } from './configFaults.ts';
import type { NodeInfo } from './domain/cluster.ts';
import { builtin } from './plugins/builtin.ts';
import { beside, outsideOptions, pluginFolder } from './plugins/load.ts';
import type { OptionsModule } from './plugins/module.ts';

/** The `plugin` of a configuration: its options are what the plugin itself accepts. */

export interface PluginFields {
  name: string;
  /** Of a plugin from outside: the absolute path of its folder, or its npm package. */
  package?: string | undefined;
  options: unknown;
}

/** A plugin from outside that a file names: found, or why not. */
export interface OutsidePlugin {
  readonly folder?: string;
  readonly module?: OptionsModule;
  readonly fault?: string;
}

/** What the file names as a plugin from outside; undefined when it names one of ours. */
export async function outsidePlugin(raw: unknown, configFile: string): Promise<OutsidePlugin | undefined> {
  const named = fieldsOf(raw).package;
  if (typeof named !== 'string' || named === '') return undefined;
  try {
    const folder = pluginFolder(named, beside(configFile));
    return { folder, module: await outsideOptions(folder) };
  } catch (error) {
    return { fault: (error as Error).message };
  }
}

/** The schema for the plugin that `raw`, a whole configuration, names. */
export function pluginSchema(raw: unknown, outside: OutsidePlugin | undefined): z.ZodType<PluginFields> {
  const { name = 'files', package: named } = fieldsOf(raw);
  if (named !== undefined) return outsideSchema(outside);
  const known = typeof name === 'string' && Object.hasOwn(builtin, name) ? builtin[name] : undefined;
  const names = Object.keys(builtin);
  if (known === undefined) {
    const error = `there is no plugin of this name; there is ${names.join(', ')}, and one from outside needs "package"`;
    return z.strictObject({ name: z.enum(names, { error }), options: z.unknown() });
  }
  return z
    .strictObject({ name: z.literal(name as string).default('files'), options: withDefaults(known.options) })
    .prefault({} as never);
}

/** How the plugin's options do not fit the nodes. */
export function pluginFaults(
  { plugin, nodes }: { plugin: PluginFields; nodes: readonly NodeInfo[] },
  outside: OutsidePlugin | undefined,
): Fault[] {
  const module = plugin.package === undefined ? builtin[plugin.name]?.options : outside?.module;
  const faults = module?.faults?.(plugin.options, nodes) ?? [];
  return faults.map(({ path, message }) => ({ path: ['plugin', 'options', ...path], message }));
}

const NAME = /^[a-z][A-Za-z0-9-]{0,30}$/;

function outsideSchema(outside: OutsidePlugin | undefined): z.ZodType<PluginFields> {
  return z.strictObject({
    name: z
      .string()
      .regex(NAME, 'give the name that the plugin itself has: a-z, then letters, digits and -')
      .refine((name) => !Object.hasOwn(builtin, name), 'is the name of a plugin of homarus itself; choose another'),
    package: z
      .string()
      .min(1, 'must not be empty')
      .superRefine((_, context) => {
        if (outside?.fault !== undefined) context.addIssue(outside.fault);
      }),
    options: outside?.module ? withDefaults(outside.module) : z.unknown(),
  });
}

/** A plugin whose options all have defaults needs none to be given. */
const withDefaults = (module: OptionsModule): z.ZodType => module.options(z).prefault({} as never);

function fieldsOf(raw: unknown): { name?: unknown; package?: unknown } {
  const { plugin } = (raw ?? {}) as { plugin?: unknown };
  return typeof plugin === 'object' && plugin !== null ? plugin : {};
}
