import { createHash } from 'node:crypto';
import type { EtcdClient } from '../etcd/client.ts';
import { after, type KeyRange, type KeyValue, prefixRange } from '../etcd/keys.ts';

/** What etcd holds of an M3 cluster. */

export interface Names {
  environment: string;
  service: string;
}

export const placementKey = ({ environment, service }: Names): Buffer =>
  Buffer.from(`_sd.placement/${environment}/${service}`);
/** The namespaces, and settings that nodes watch, such as limits and consistency levels. */
const settings = ({ environment }: Names): Buffer => Buffer.from(`_kv/${environment}/m3db.`);
/** An empty value of the coordinator's, under a key with two slashes. */
const coordinators = ({ environment }: Names): Buffer => Buffer.from(`_kv/${environment}//namespaces`);

const exactly = (key: Buffer): KeyRange => ({ start: key, end: after(key) });

/** In the order of their keys. */
export const rangesOf = (names: Names): KeyRange[] => [
  exactly(coordinators(names)),
  prefixRange(settings(names)),
  exactly(placementKey(names)),
];

/** The key of another cluster's that is to `to` what `key` is to `from`; undefined when it is neither's. */
export function renamed(key: Buffer, from: Names, to: Names): Buffer | undefined {
  if (key.equals(placementKey(from))) return placementKey(to);
  if (key.equals(coordinators(from))) return coordinators(to);
  const prefix = settings(from);
  if (!key.subarray(0, prefix.length).equals(prefix)) return undefined;
  return Buffer.concat([settings(to), key.subarray(prefix.length)]);
}

/** All of one revision. Few and small: a placement is at most what etcd takes as one value. */
export async function readTopology(
  client: EtcdClient,
  names: Names,
): Promise<{ keys: KeyValue[]; revision: string; digest: string }> {
  const { revision } = await client.state(placementKey(names));
  const keys: KeyValue[] = [];
  const hash = createHash('sha256');
  for (const range of rangesOf(names)) {
    for await (const { modified, ...one } of client.keys(range, revision)) {
      keys.push(one);
      // With it what was changed and changed back is seen as well.
      for (const part of [one.key, one.value, Buffer.from(modified)]) hash.update(`${part.length} `).update(part);
    }
  }
  return { keys, revision, digest: hash.digest('hex') };
}
