import type { NodeInfo } from '../../domain/cluster.ts';
import { accessFault, type EtcdAccess, etcdAccess } from '../etcd/options.ts';
import { fields } from '../fields.ts';
import type { FileSelection } from '../fileOptions.ts';
import type { OptionsFault, Zod } from '../module.ts';
import { HELD, LOCK_FILE } from './layout.ts';
import type { Instance } from './placement.ts';

export interface M3Options {
  etcd: EtcdAccess;
  /** Of M3's own configuration: `env` and `service` of its discovery. */
  environment: string;
  service: string;
  /** By id of node. */
  nodes: Record<string, M3Node>;
}

interface M3Node {
  /** Of the instance in M3's placement; the node's own without it. */
  id?: string | undefined;
  endpoint: string;
  hostname?: string | undefined;
  port?: number | undefined;
}

export function options(z: Zod) {
  const { text } = fields(z);
  const part = text.regex(/^[^/]+$/, 'give a name without "/"');
  const node = z.strictObject({
    id: text.optional(),
    endpoint: z.string().regex(/^.+:\d{1,5}$/, 'give the address that M3 listens at, such as db1.example.org:9000'),
    hostname: text.optional(),
    port: z.number().int().min(1).max(65_535).optional(),
  });
  return z.strictObject({
    etcd: z.strictObject(etcdAccess(z)).superRefine((given, context) => {
      const fault = accessFault(given);
      if (fault !== undefined) context.addIssue({ code: 'custom', message: fault, path: ['user'] });
    }),
    environment: part.default('default_env'),
    service: part.default('m3db'),
    nodes: z.record(z.string(), node),
  });
}

/** What M3 starts from; put together in a directory of ours before the snapshot. */
export const selection = (): FileSelection => ({
  include: ['**/*.db'],
  // A restore leaves the lock alone: it may be a running node's.
  exclude: [LOCK_FILE],
  onUnreadable: 'fail',
  below: HELD,
});

/** Each node is one instance, and no other one's. */
export function faults({ nodes }: M3Options, configured: readonly NodeInfo[]): OptionsFault[] {
  const found: OptionsFault[] = [];
  for (const { id } of configured) {
    if (!Object.hasOwn(nodes, id)) found.push({ path: ['nodes', id], message: 'is missing; each node is an instance' });
  }
  const given = Object.keys(nodes);
  for (const [place, id] of given.entries()) {
    if (!configured.some((node) => node.id === id)) {
      found.push({ path: ['nodes', id], message: 'there is no node of this id in the configuration' });
    }
    const instance = instanceId(nodes, id);
    const first = given.slice(0, place).find((other) => instanceId(nodes, other) === instance);
    if (first !== undefined) {
      found.push({ path: ['nodes', id], message: `"${instance}" is the instance of node ${first}; ids are unique` });
    }
  }
  return found;
}

const instanceId = (nodes: M3Options['nodes'], node: string): string => nodes[node]?.id ?? node;

/** What the placement is to say of a node. */
export function instanceOf({ nodes }: Pick<M3Options, 'nodes'>, { id, az }: NodeInfo): Instance | undefined {
  const node = Object.hasOwn(nodes, id) ? nodes[id] : undefined;
  if (node === undefined) return undefined;
  const { endpoint, hostname = endpoint.replace(/:\d+$/, ''), port } = node;
  return { id: node.id ?? id, endpoint, hostname, port, isolationGroup: az === '' ? undefined : az };
}
