import type { ChunkAt } from '../domain/documents.ts';
import { HASH_BYTES } from './hash.ts';

/**
 * A page of a tree or a chunk of a stream, as a manifest names it: hash:32 length:u32 owner:u32 backup:u32 place:u32
 * (little-endian). `owner` and `backup` are numbers that a verification gives; `place` is that of a page in its tree.
 */
export const REFERENCE_BYTES = 48;

export interface Reference extends ChunkAt {
  owner: number;
  backup: number;
  place: number;
}

export function encodeReference({ chunk, length, owner, backup, place }: Reference): Buffer {
  const record = Buffer.alloc(REFERENCE_BYTES);
  record.write(chunk, 'hex');
  let at = HASH_BYTES;
  for (const field of [length, owner, backup, place]) at = record.writeUInt32LE(field, at);
  return record;
}

export function decodeReference(records: Buffer, at: number): Reference {
  const field = (number: number): number => records.readUInt32LE(at + HASH_BYTES + 4 * number);
  const chunk = records.toString('hex', at, at + HASH_BYTES);
  return { chunk, length: field(0), owner: field(1), backup: field(2), place: field(3) };
}

/** References with one hash, one group after another, each with its number. */
export function* referenceGroups(sorted: Iterable<Buffer>): Generator<{ number: number; references: Reference[] }> {
  let number = 0;
  let references: Reference[] = [];
  for (const batch of sorted) {
    for (let at = 0; at < batch.length; at += REFERENCE_BYTES) {
      const next = decodeReference(batch, at);
      if (references[0] && references[0].chunk !== next.chunk) {
        yield { number: number++, references };
        references = [];
      }
      references.push(next);
    }
  }
  if (references.length > 0) yield { number, references };
}

/** Whose a reference is: a root of a node, or a stream. */
export interface Owner {
  node: string;
  root: string;
  stream?: string;
}

/** Gives owners numbers: the same one whatever backup they stand in. */
export class Owners {
  readonly #owners: Owner[] = [];
  readonly #numbers = new Map<string, number>();

  numberOf(owner: Owner): number {
    const key = JSON.stringify([owner.node, owner.root, owner.stream]);
    const number = this.#numbers.get(key) ?? this.#owners.push(owner) - 1;
    this.#numbers.set(key, number);
    return number;
  }

  at(number: number): Owner {
    return this.#owners[number] as Owner;
  }
}
