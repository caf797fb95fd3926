import { keys } from '../domain/documents.ts';
import type { StagedDocument, StagedList } from '../domain/operations.ts';
import type { Shape } from '../domain/shape.ts';
import { damaged, openObject, sealObject } from './block.ts';
import { blake3 } from './hash.ts';
import { randomPart } from './ids.ts';
import type { CallOptions } from './objectStore.ts';
import type { Batches } from './records.ts';
import type { Repository } from './repository.ts';
import { checkedJson, openJson, readObject, sealJson } from './repository.ts';
import type { Sealing } from './sealing.ts';
import { shownName } from './sealing.ts';

/**
 * Lists that the activities of one operation hand to each other: written to the storage in segments, with a receipt that
 * whoever reads them checks them against. Each call writes under keys of its own, so a repeated activity never finds
 * half of what its former try left.
 */

const SEGMENT_BYTES = 16 * 1024 * 1024;

/** What the keys of an operation's staged lists begin with, or of one node's among them. */
export function stagingOf(sealing: Sealing, of: { epoch: number; operation: string }, node?: string): string {
  const prefix = keys.staging(of.epoch, shownName(sealing, of.operation));
  return node === undefined ? prefix : `${prefix}${shownName(sealing, node)}/`;
}

/** Stages records of one width. The receipt's hash is that of the segments' hashes, one after another. */
export async function stageRecords(
  repository: Repository,
  prefix: string,
  recordBytes: number,
  source: Batches,
  options: CallOptions = {},
): Promise<StagedList> {
  const key = `${prefix}-${randomPart()}`;
  const segmentBytes = SEGMENT_BYTES - (SEGMENT_BYTES % recordBytes);
  const hashes: Buffer[] = [];
  let records = 0;
  let segment: Buffer[] = [];
  let held = 0;
  const put = async (): Promise<void> => {
    const content = Buffer.concat(segment, held);
    const place = placeOf(key, hashes.length);
    await repository.store.create(place.key, sealObject(repository.sealing, place, content, repository.level), options);
    hashes.push(blake3.hash([content]));
    records += content.length / recordBytes;
    segment = [];
    held = 0;
  };
  for await (const batch of source) {
    for (let at = 0; at < batch.length; ) {
      const part = batch.subarray(at, at + segmentBytes - held);
      // Copied: the source may use its batch again.
      segment.push(Buffer.from(part));
      held += part.length;
      at += part.length;
      if (held === segmentBytes) await put();
    }
  }
  if (held > 0) await put();
  return { key, segments: hashes.length, records, hash: blake3.hash(hashes).toString('hex') };
}

/** The records of a staged list. `ObjectMissing`, `ObjectDamaged` unless it is whole: an absent list is never empty. */
export async function* readStaged(
  repository: Repository,
  list: StagedList,
  recordBytes: number,
  options: CallOptions = {},
): AsyncGenerator<Buffer> {
  const hashes: Buffer[] = [];
  let records = 0;
  for (let number = 0; number < list.segments; number++) {
    const place = placeOf(list.key, number);
    const stored = await readObject(repository, 'staged', place.key, options);
    const content = openObject(repository.sealing, place, stored);
    if (content.length % recordBytes !== 0) throw damaged(place, `it is no list of records of ${recordBytes} bytes`);
    hashes.push(blake3.hash([content]));
    records += content.length / recordBytes;
    yield content;
  }
  if (records !== list.records || blake3.hash(hashes).toString('hex') !== list.hash) {
    throw damaged(placeOf(list.key, 0), 'the list is not the one that its receipt names');
  }
}

/** Stages a JSON document under a key that begins with `prefix`. Its receipt has length and hash of the stored bytes. */
export async function stageJson(
  repository: Repository,
  prefix: string,
  document: unknown,
  options: CallOptions = {},
): Promise<StagedDocument> {
  const key = `${prefix}-${randomPart()}`;
  const sealed = sealJson(repository, { kind: 'staged', key }, document);
  await repository.store.create(key, sealed, options);
  return { key, length: sealed.length, hash: blake3.hash([sealed]).toString('hex') };
}

/** What was staged, and is of this shape. `ObjectMissing`, `ObjectDamaged`. */
export async function readStagedJson<T>(
  repository: Repository,
  receipt: StagedDocument,
  shape: Shape,
  options: CallOptions = {},
): Promise<T> {
  const place = { kind: 'staged', key: receipt.key } as const;
  const stored = await readObject(repository, 'staged', receipt.key, options);
  if (stored.length !== receipt.length || blake3.hash([stored]).toString('hex') !== receipt.hash) {
    throw damaged(place, 'it is not the document that its receipt names');
  }
  return checkedJson(place, openJson(repository, place, stored), shape);
}

const placeOf = (key: string, segment: number) =>
  ({ kind: 'staged', key: `${key}/${String(segment).padStart(6, '0')}` }) as const;
