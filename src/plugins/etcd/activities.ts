import { type CoordinatorContext, defineActivities } from '../module.ts';
import { EtcdClient } from './client.ts';
import { decodeKeys, encodeKeys } from './dump.ts';
import { type EtcdData, etcd } from './flow.ts';
import { type KeyValue, prefixRanges } from './keys.ts';
import { memberSnapshot } from './memberSnapshot.ts';
import { type EtcdOptions, prefixBytes } from './options.ts';
import { MARKER, restoreKeys } from './restoreKeys.ts';

type Context = CoordinatorContext<EtcdOptions>;

const KEYS = 'etcd-keys';
const MEMBER = 'etcd-member';

export const { activities } = defineActivities<EtcdOptions>()(etcd, {
  activities: {
    dump: (_, context) => using(context, (client) => dump(client, context)),
    restore: ({ data, dryRun }, context) =>
      using(context, (client) =>
        restoreKeys(client, {
          ranges: prefixRanges(data.prefixes.map((prefix) => Buffer.from(prefix, 'base64'))),
          wanted: () => decodeKeys(context.streams.read(KEYS)),
          ignoreLeased: data.leases === 'skip',
          operation: context.operation,
          dryRun,
        }),
      ),
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

/** Half of one state and half of another is no backup. */
const unfinished = (context: Context, operation: Buffer): Error =>
  context.failure(`restore ${operation} of this etcd did not come to its end`, {
    hint: `Run the restore again, or remove the key ${MARKER} if you know better.`,
  });
