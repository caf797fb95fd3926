import type { ICompare, IRequestOp } from 'etcd3';
import { HomarusError } from '../../domain/errors.ts';
import type { EtcdClient } from './client.ts';
import { type Change, differences } from './difference.ts';
import { type KeyRange, type KeyValue, shownKey } from './keys.ts';

/** Present while a restore runs: whoever reads the keys meanwhile can know that they are not whole. */
export const MARKER = Buffer.from('homarus/restore-running');

/** Of one transaction: the server's defaults are 128 operations and 1.5 MiB with all that is around them. */
const MOST_OPERATIONS = 128;
const MOST_BYTES = 1_200_000;
/** So many keys are named in a difference. */
const NAMED = 20;

export interface RestoreKeysInput {
  ranges: readonly KeyRange[];
  /** All that the ranges are to hold, in order; asked for once more for the check at the end. */
  wanted: () => AsyncIterable<KeyValue>;
  ignoreLeased: boolean;
  /** The operation's id: what the marker holds. */
  operation: string;
  dryRun?: boolean;
}

/** Counts of keys. */
export interface KeysRestored {
  put: number;
  deleted: number;
  same: number;
  /** The first of those that change, for people. */
  named: string[];
}

/**
 * Makes ranges of keys what a backup says, by their difference, and removes what is extra. It can be stopped anywhere and
 * run again; when nothing differs nothing is written. The marker is set in the first transaction and removed in the last,
 * after all was read again and found right. `EtcdDiffers` when it is not: something else writes.
 */
export async function restoreKeys(client: EtcdClient, input: RestoreKeysInput): Promise<KeysRestored> {
  const counts: KeysRestored = { put: 0, deleted: 0, same: 0, named: [] };
  const { ranges, wanted, ignoreLeased, dryRun = false } = input;
  const options = { ignoreLeased, except: MARKER };
  const writer = new Writer(client, input.operation);
  if (!dryRun) await writer.open();
  // As they are at each page, not of one revision: what this writes lies behind, and no compaction matters.
  const present = differences(keysOf(client, ranges), wanted(), { ...options, onSame: () => counts.same++ });
  for await (const change of present) {
    counts[change.kind === 'put' ? 'put' : 'deleted']++;
    if (counts.named.length < NAMED) counts.named.push(`${change.kind} ${shownKey(change.key)}`);
    if (!dryRun) await writer.add(change);
  }
  if (dryRun || !(await writer.flush())) return counts;

  const { revision } = await client.state(MARKER);
  for await (const { key } of differences(keysOf(client, ranges, revision), wanted(), options)) {
    throw new HomarusError(
      'EtcdDiffers',
      `etcd holds something else than was just restored, first at key ${shownKey(key)}`,
    );
  }
  await writer.close();
  return counts;
}

async function* keysOf(client: EtcdClient, ranges: readonly KeyRange[], revision?: string): AsyncGenerator<KeyValue> {
  for (const range of ranges) yield* client.keys(range, revision);
}

/** Gathers changes into transactions, each under the marker. */
class Writer {
  readonly #client: EtcdClient;
  readonly #own: Buffer;
  readonly #isOurs: ICompare;
  #batch: IRequestOp[] = [];
  #bytes = 0;
  /** What the marker must be for the next transaction. */
  #marker: ICompare | undefined;
  /** Of an earlier restore that was stopped, or ours. */
  #marked = false;

  constructor(client: EtcdClient, operation: string) {
    this.#client = client;
    this.#own = Buffer.from(operation);
    this.#isOurs = { key: MARKER, target: 'Value', result: 'Equal', value: this.#own };
  }

  async open(): Promise<void> {
    const found = await this.#client.get(MARKER);
    this.#marked = found !== undefined;
    if (found?.value.equals(this.#own)) this.#marker = this.#isOurs;
    // The lock says that no other restore runs: what stands there is left over, unless it moves.
    else this.#marker = { key: MARKER, target: 'Mod', result: 'Equal', mod_revision: found?.modified ?? '0' };
  }

  async add(change: Change): Promise<void> {
    const bytes = change.key.length + (change.kind === 'put' ? change.value.length : 0);
    const room = MOST_OPERATIONS - 1;
    if (this.#batch.length > 0 && (this.#batch.length >= room || this.#bytes + bytes > MOST_BYTES)) await this.#send();
    this.#batch.push(
      change.kind === 'put'
        ? { request_put: { key: change.key, value: change.value } }
        : { request_delete_range: { key: change.key } },
    );
    this.#bytes += bytes;
  }

  /** Answers whether anything was written, now or by an earlier restore that was stopped. */
  async flush(): Promise<boolean> {
    if (this.#batch.length > 0) await this.#send();
    if (!this.#marked) return false;
    // Left over, with nothing to change: it is ours now, to be removed when all is proven.
    if (this.#marker !== this.#isOurs) await this.#send();
    return true;
  }

  async close(): Promise<void> {
    const done = await this.#client.transaction({
      compare: [this.#isOurs],
      success: [{ request_delete_range: { key: MARKER } }],
    });
    // Removed by the same transaction, whose answer was lost.
    if (!done && (await this.#client.get(MARKER)) !== undefined) throw this.#taken();
  }

  async #send(): Promise<void> {
    const first = this.#marker !== this.#isOurs;
    const success = first ? [{ request_put: { key: MARKER, value: this.#own } }, ...this.#batch] : this.#batch;
    const again = { compare: [this.#isOurs], success: this.#batch };
    const done = await this.#client.transaction({ compare: [this.#marker as ICompare], success });
    // The first one stands, perhaps, and its answer was lost: then the marker is ours.
    if (!done && !(first && (await this.#client.transaction(again)))) throw this.#taken();
    this.#marker = this.#isOurs;
    this.#marked = true;
    this.#batch = [];
    this.#bytes = 0;
  }

  #taken(): HomarusError {
    return new HomarusError(
      'EtcdDiffers',
      `the key ${MARKER} was changed during the restore: another one writes to this etcd`,
    );
  }
}
