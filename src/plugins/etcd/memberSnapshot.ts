import { createHash } from 'node:crypto';
import { HomarusError, hasCode } from '../../domain/errors.ts';
import type { CoordinatorContext } from '../module.ts';
import { EtcdClient } from './client.ts';
import type { EtcdOptions } from './options.ts';

const HASH_BYTES = 32;

/**
 * Stores a member's whole database as a stream, as `etcdutl snapshot restore` takes it: with its SHA-256 in the last 32
 * bytes, which is checked. Of the first endpoint that has one.
 */
export async function memberSnapshot(
  { options, signal, streams, log }: CoordinatorContext<EtcdOptions>,
  name: string,
): Promise<{ bytes: number; sha256: string }> {
  for (const [place, endpoint] of options.endpoints.entries()) {
    const client = new EtcdClient(options, signal, [endpoint]);
    let sha256 = '';
    try {
      const checked = checkedSnapshot(client.memberSnapshot(), endpoint, (hash) => {
        sha256 = hash;
      });
      const { bytes } = await streams.write(name, checked);
      return { bytes, sha256 };
    } catch (error) {
      if (!hasCode(error, 'EtcdUnreachable') || place === options.endpoints.length - 1) throw error;
      log('warn', `${(error as Error).message}; the next endpoint is asked`);
    } finally {
      client.close();
    }
  }
  throw new HomarusError('Internal', 'no endpoint is configured');
}

/** Passes all on; rejects at the end unless the last bytes are the hash of those before. */
export async function* checkedSnapshot(
  source: AsyncIterable<Buffer>,
  from: string,
  onHash: (sha256: string) => void,
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  let last: Buffer = Buffer.alloc(0);
  for await (const part of source) {
    const all = Buffer.concat([last, part]);
    const sure = Math.max(0, all.length - HASH_BYTES);
    hash.update(all.subarray(0, sure));
    last = Buffer.from(all.subarray(sure));
    yield part;
  }
  const sha256 = hash.digest('hex');
  if (last.toString('hex') !== sha256) {
    throw new HomarusError(
      'EtcdUnreachable',
      `the snapshot of the etcd member at ${from} is not whole: its hash differs`,
    );
  }
  onHash(sha256);
}
