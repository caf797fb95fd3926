/** The cluster as operations see it: nodes, zones, task queues. */

export interface NodeInfo {
  /** Stable id from the configuration. */
  readonly id: string;
  /** Availability zone; empty where none is configured. */
  readonly az: string;
}

export const coordinatorQueue = (cluster: string): string => `homarus.${cluster}`;
export const nodeQueue = (cluster: string, node: string): string => `homarus.${cluster}.node.${node}`;
export const nodeControlQueue = (cluster: string, node: string): string => `homarus.${cluster}.node.${node}.ctl`;
