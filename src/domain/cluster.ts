import { HomarusError } from './errors.ts';

/** The cluster as operations see it: nodes, zones, task queues. */

export interface NodeInfo {
  /** Stable id from the configuration. */
  readonly id: string;
  /** Availability zone; empty where none is configured. */
  readonly az: string;
}

/** The nodes that a backup asks when it does without some. `BadInput` for unknown ones, and when none is left. */
export function nodesWithout(nodes: readonly NodeInfo[], without: readonly string[] = []): readonly NodeInfo[] {
  const unknown = without.filter((id) => !nodes.some((node) => node.id === id));
  const listed = nodes.map(({ id }) => id).join(', ');
  if (unknown.length > 0) {
    throw new HomarusError(
      'BadInput',
      `withoutNodes: there is no ${unknown.join(', ')} in the cluster; it has ${listed}`,
    );
  }
  const left = nodes.filter(({ id }) => !without.includes(id));
  if (left.length === 0)
    throw new HomarusError('BadInput', `withoutNodes: no node is left to be backed up of ${listed}`);
  return left;
}

export const coordinatorQueue = (cluster: string): string => `homarus.${cluster}`;
export const nodeQueue = (cluster: string, node: string): string => `homarus.${cluster}.node.${node}`;
export const nodeControlQueue = (cluster: string, node: string): string => `homarus.${cluster}.node.${node}.ctl`;
