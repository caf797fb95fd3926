import * as commandsOptions from './commands/options.ts';
import * as etcdOptions from './etcd/options.ts';
import * as filesOptions from './files/options.ts';
import * as m3Options from './m3/options.ts';
import type { ActivitiesModule, OptionsModule } from './module.ts';

/** A plugin of our own. Its activities are loaded only where they run: with them come the clients of databases. */
export interface Builtin {
  readonly options: OptionsModule;
  activities?(): Promise<ActivitiesModule>;
}

// biome-ignore lint/suspicious/noExplicitAny: each has options of its own.
const own = (options: OptionsModule<any>, activities?: () => Promise<unknown>): Builtin => ({
  options,
  ...(activities ? { activities: activities as () => Promise<ActivitiesModule> } : {}),
});

/** By name in the configuration; the flows are in `flows.ts`. */
export const builtin: Readonly<Record<string, Builtin>> = {
  files: own(filesOptions),
  commands: own(commandsOptions, () => import('./commands/activities.ts')),
  etcd: own(etcdOptions, () => import('./etcd/activities.ts')),
  m3: own(m3Options, () => import('./m3/activities.ts')),
};
