import { HomarusError } from '../domain/errors.ts';
import { commands } from './commands/flow.ts';
import { etcd } from './etcd/flow.ts';
import { files } from './files/flow.ts';
import { m3 } from './m3/flow.ts';
import { flow as outside } from './outside.ts';
import type { Flow } from './plugin.ts';

const known: readonly (Flow | undefined)[] = [files, commands, etcd, m3, outside];

/** The flow of each plugin, by its name in the configuration. */
export const flows: Readonly<Record<string, Flow>> = Object.fromEntries(
  known.filter((flow) => flow !== undefined).map((flow) => [flow.name, flow]),
);

/** `ConfigInvalid` when there is none of this name. */
export function flowNamed(name: string): Flow {
  const flow = flows[name];
  if (flow === undefined) throw new HomarusError('ConfigInvalid', `there is no plugin "${name}"`);
  return flow;
}
