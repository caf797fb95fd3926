import { HomarusError } from '../../domain/errors.ts';
import type { KeyValue } from './keys.ts';

/** A key that is not as it should be. */
export type Change = { kind: 'put'; key: Buffer; value: Buffer } | { kind: 'delete'; key: Buffer };

export interface DifferenceOptions {
  /** Keys that hang on a lease are nobody's business unless they are wanted. */
  ignoreLeased: boolean;
  /** Never touched. */
  except: Buffer;
  onSame?: () => void;
}

/** What must change so that `present` becomes `wanted`; both in the order of their keys. */
export async function* differences(
  present: AsyncIterable<KeyValue>,
  wanted: AsyncIterable<KeyValue>,
  { ignoreLeased, except, onSame }: DifferenceOptions,
): AsyncGenerator<Change> {
  const has = present[Symbol.asyncIterator]();
  const needs = inOrder(wanted);
  try {
    let one = await has.next();
    let other = await needs.next();
    while (!one.done || !other.done) {
      const order = one.done ? 1 : other.done ? -1 : Buffer.compare(one.value.key, other.value.key);
      if (order < 0) {
        const { key, lease } = one.value as KeyValue;
        if (!key.equals(except) && !(ignoreLeased && lease !== 0n)) yield { kind: 'delete', key };
        one = await has.next();
        continue;
      }
      const { key, value } = other.value as KeyValue;
      if (!key.equals(except)) {
        const found = order === 0 ? (one.value as KeyValue) : undefined;
        // A key that hangs on a lease would vanish with it.
        if (found?.value.equals(value) && found.lease === 0n) onSame?.();
        else yield { kind: 'put', key, value };
      }
      if (order === 0) one = await has.next();
      other = await needs.next();
    }
  } finally {
    await has.return?.(undefined);
    await needs.return(undefined);
  }
}

/** Keys out of order would be taken for missing, and what is there for superfluous. */
export async function* inOrder(keys: AsyncIterable<KeyValue>): AsyncGenerator<KeyValue> {
  let last: Buffer | undefined;
  for await (const one of keys) {
    if (last !== undefined && Buffer.compare(last, one.key) >= 0) {
      throw new HomarusError('ObjectDamaged', 'a stream of keys of etcd is not in their order');
    }
    last = Buffer.from(one.key);
    yield one;
  }
}
