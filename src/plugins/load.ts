import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { HomarusError } from '../domain/errors.ts';
import { builtin } from './builtin.ts';
import { ALL_FILES, type FileSelection } from './fileOptions.ts';
import { flows } from './flows.ts';
import type { ActivitiesModule, OptionsModule } from './module.ts';
import type { Flow } from './plugin.ts';

/** Brings a plugin's modules together, ours or one from outside. */

/** How the configuration names a plugin. */
export interface PluginRef {
  name: string;
  /** Where one from outside is. */
  folder?: string | undefined;
  options: unknown;
}

export interface LoadedPlugin {
  readonly flow: Flow;
  readonly options: unknown;
  readonly selection: FileSelection;
  readonly module: ActivitiesModule;
}

const NO_ACTIVITIES: ActivitiesModule = { activities: {} };
const NO_OPTIONS: OptionsModule = { options: (z) => z.strictObject({}) };

/** The folder of a plugin from outside: an absolute path, or an npm package found from `directory` or from homarus itself. */
export function pluginFolder(named: string, directory: string): string {
  if (isAbsolute(named)) {
    if (existsSync(join(named, 'flow.js'))) return named;
    throw new HomarusError('ConfigInvalid', `there is no plugin in ${named}: no flow.js`);
  }
  for (const from of [join(directory, 'package.json'), import.meta.url]) {
    const modules = createRequire(from).resolve.paths(named) ?? [];
    const folder = modules.map((place) => join(place, named)).find((place) => existsSync(join(place, 'flow.js')));
    if (folder !== undefined) return folder;
  }
  throw new HomarusError(
    'ConfigInvalid',
    `there is no package "${named}" with a flow.js beside ${directory}; give its name as npm knows it, or an absolute path`,
  );
}

export const flowFile = (folder: string): string => join(folder, 'flow.js');

/** What a plugin from outside lets an operator say. */
export async function outsideOptions(folder: string): Promise<OptionsModule> {
  if (!existsSync(join(folder, 'options.js'))) return NO_OPTIONS;
  const module = await load<OptionsModule>(folder, 'options');
  if (typeof module.options === 'function') return module;
  throw broken(folder, 'options.js exports no function "options"');
}

/** All modules of the configured plugin. `ConfigInvalid` says what is wrong with one from outside. */
export async function loadPlugin({ name, folder, options }: PluginRef): Promise<LoadedPlugin> {
  if (folder !== undefined) return loadOutside(name, folder, options);
  const known = builtin[name];
  const flow = flows[name];
  if (known === undefined || flow === undefined)
    throw new HomarusError('ConfigInvalid', `there is no plugin "${name}"`);
  const module = (await known.activities?.()) ?? NO_ACTIVITIES;
  return { flow, options, module, selection: known.options.selection?.(options) ?? ALL_FILES };
}

async function loadOutside(name: string, folder: string, options: unknown): Promise<LoadedPlugin> {
  const { flow } = await load<{ flow?: Flow }>(folder, 'flow');
  if (flow === undefined) throw broken(folder, 'flow.js exports no "flow"');
  if (flow.name !== name || flows[name] !== undefined) {
    throw broken(folder, `its name is "${flow.name}", and the configuration calls it "${name}"`);
  }
  if (!Number.isInteger(flow.version) || flow.version < 1) throw broken(folder, 'flow.version must be 1, 2, 3, …');
  const declared = Object.keys(flow.activities ?? {});
  const module = existsSync(join(folder, 'activities.js'))
    ? await load<ActivitiesModule>(folder, 'activities')
    : NO_ACTIVITIES;
  const missing = declared.filter((activity) => typeof module.activities?.[activity] !== 'function');
  if (missing.length > 0) throw broken(folder, `activities.js has no ${missing.join(', ')}, which flow.js declares`);
  const { selection } = await outsideOptions(folder);
  return { flow, options, module, selection: { ...ALL_FILES, ...selection?.(options) } };
}

async function load<T>(folder: string, part: 'flow' | 'options' | 'activities'): Promise<T> {
  const file = join(folder, `${part}.js`);
  try {
    return (await import(pathToFileURL(file).href)) as T;
  } catch (cause) {
    throw new HomarusError('ConfigInvalid', `the plugin in ${folder} cannot be loaded: ${(cause as Error).message}`, {
      cause,
    });
  }
}

const broken = (folder: string, what: string): HomarusError =>
  new HomarusError('ConfigInvalid', `the plugin in ${folder} is no plugin: ${what}`, {
    hint: 'docs/plugins.md has the contract and an example.',
  });

/** The directory from which a configuration's packages are found. */
export const beside = (configFile: string): string => dirname(configFile);
