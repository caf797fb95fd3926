import { type CoordinatorContext, defineActivities } from '../module.ts';
import { EtcdClient } from './client.ts';
import { inOrder } from './difference.ts';
import { decodeKeys, encodeKeys } from './dump.ts';
import { type EtcdData, etcd } from './flow.ts';
import { type KeyValue, prefixRanges } from './keys.ts';
import { checkedSnapshot, memberSnapshot } from './memberSnapshot.ts';
import { type EtcdOptions, prefixBytes } from './options.ts';
import { MARKER, restoreKeys } from './restoreKeys.ts';

type Context = CoordinatorContext<EtcdOptions>;

const KEYS = 'etcd-keys';
const MEMBER = 'etcd-member';

export const { activities } = defineActivities<EtcdOptions>()(etcd, {
  activities: {
    dump: (_, context) => using(context, (client) => dump(client, context)),
    restore: ({ data, dryRun }, context) => using(context, (client) => restore(client, context, data, dryRun)),
    /** `live`: the cluster must hold what the backup does; otherwise only that all of it can be read. */
    check: ({ data, live }, context) => (live ? compare(data, context) : readThrough(data, context)),
  },
});

async function using<T>(context: Context, work: (client: EtcdClient) => Promise<T>): Promise<T> {
  const client = new EtcdClient(context.options, context.signal);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

async function dump(client: EtcdClient, context: Context): Promise<EtcdData> {
  const { options, streams, log } = context;
  const prefixes = prefixBytes(options.prefixes);
  const { revision, cluster } = await client.state(MARKER);
  const server = (await client.version()) ?? null;
  const counts = { keys: 0, leased: 0, bytes: 0 };
  const keep = options.leases === 'keep';

  async function* wanted(): AsyncGenerator<KeyValue> {
    for (const range of prefixRanges(prefixes)) {
      for await (const one of client.keys(range, revision)) {
        if (one.key.equals(MARKER)) throw unfinished(context, one.value);
        if (one.lease !== 0n) counts.leased++;
        if (one.lease === 0n || keep) yield one;
      }
    }
  }

  const source = encodeKeys(wanted(), (_, bytes) => {
    counts.keys++;
    counts.bytes += bytes;
  });
  await streams.write(KEYS, source, { cuts: 'given' });
  log('info', `etcd: ${counts.keys} keys of revision ${revision}`, { cluster });
  return {
    prefixes: prefixes.map((prefix) => prefix.toString('base64')),
    leases: options.leases,
    ...{ revision, cluster, server, ...counts },
    member: options.member ? await memberSnapshot(context, MEMBER) : null,
  };
}

const restore = (client: EtcdClient, { streams, operation }: Context, data: EtcdData, dryRun: boolean) =>
  restoreKeys(client, {
    ranges: prefixRanges(data.prefixes.map((prefix) => Buffer.from(prefix, 'base64'))),
    wanted: () => decodeKeys(streams.read(KEYS)),
    ignoreLeased: data.leases === 'skip',
    ...{ operation, dryRun },
  });

const compare = (data: EtcdData, context: Context): Promise<void> =>
  using(context, async (client) => {
    const left = await client.get(MARKER);
    if (left !== undefined) throw unfinished(context, left.value);
    const { put, deleted, named } = await restore(client, context, data, true);
    if (put + deleted === 0) return;
    throw context.failure(`etcd differs from the backup in ${put + deleted} keys: ${named.slice(0, 3).join(', ')}`, {
      hint: 'Something else writes to it, or the restore left etcd alone.',
    });
  });

async function readThrough(data: EtcdData, context: Context): Promise<void> {
  let keys = 0;
  for await (const _ of inOrder(decodeKeys(context.streams.read(KEYS)))) keys++;
  if (data.member !== null) {
    const { sha256 } = data.member;
    let found = '';
    const content = checkedSnapshot(context.streams.read(MEMBER), 'the backup', (hash) => {
      found = hash;
    });
    for await (const _ of content);
    if (found !== sha256) throw context.failure('the snapshot of a member in the backup is not the one that was made');
  }
  if (keys === data.keys) return;
  throw context.failure(`the backup holds ${keys} keys of etcd, and its manifest says ${data.keys}`);
}

/** Half of one state and half of another is no backup. */
const unfinished = (context: Context, operation: Buffer): Error =>
  context.failure(`restore ${operation} of this etcd did not come to its end`, {
    hint: `Run the restore again, or remove the key ${MARKER} if you know better.`,
  });
