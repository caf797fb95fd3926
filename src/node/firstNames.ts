import type { BytePath } from './bytePath.ts';
import { Spool } from './spool.ts';

/** A name under which a file that has several was found first. */
export interface FirstName {
  /** Of the name among all; no two have the same. */
  readonly place: number;
  readonly path: BytePath;
}

/**
 * The first names of files that have several, by their inodes. Databases link whole data sets (a snapshot of Cassandra,
 * parts of ClickHouse), so the names stand on disk: in memory are 16 bytes for each file, at most 43 as the table grows.
 */
export class FirstNames {
  readonly #path: string;
  readonly #leftOut = new Set<number>();
  readonly #places = new InodeTable();
  #names: Spool | undefined;

  /** `path`: of a file for the names, which is made when there is one. */
  constructor(path: string) {
    this.#path = path;
  }

  add(inode: bigint, path: BytePath): FirstName {
    this.#names ??= new Spool(this.#path);
    const place = this.#names.add(Buffer.from(path, 'latin1'));
    this.#places.set(inode, place);
    return { place, path };
  }

  /** Undefined where there is none, or it was left out: then the next name is the first. */
  find(inode: bigint): FirstName | undefined {
    const place = this.#places.get(inode);
    if (place === undefined || this.#leftOut.has(place)) return undefined;
    return { place, path: (this.#names as Spool).at(place).toString('latin1') };
  }

  /** Nothing may refer to this name any more. */
  leaveOut({ place }: FirstName): void {
    this.#leftOut.add(place);
  }

  isLeftOut({ place }: FirstName): boolean {
    return this.#leftOut.has(place);
  }

  close(): void {
    this.#names?.close();
  }
}

const FIRST_SLOTS = 1024;
/** Of three quarters at most. */
const FULL = 0.75;
/** 2^32 divided by the golden ratio: Knuth, The Art of Computer Programming, volume 3, section 6.4. */
const GOLDEN = 0x9e3779b1;

/** A number, from 0, for each inode: a hash table with open addressing, since a Map takes ten times as much. */
export class InodeTable {
  #inodes = new BigUint64Array(FIRST_SLOTS);
  /** The number and 1; 0 where the slot is free. */
  #places = new Float64Array(FIRST_SLOTS);
  #count = 0;

  get(inode: bigint): number | undefined {
    const found = this.#places[this.#slotOf(inode)] as number;
    return found === 0 ? undefined : found - 1;
  }

  set(inode: bigint, place: number): void {
    if (this.#count >= FULL * this.#places.length) this.#grow();
    const slot = this.#slotOf(inode);
    if (this.#places[slot] === 0) this.#count++;
    this.#inodes[slot] = inode;
    this.#places[slot] = place + 1;
  }

  /** Where it is, or would be. */
  #slotOf(inode: bigint): number {
    const mask = this.#places.length - 1;
    const mixed = Math.imul(Number(BigInt.asUintN(32, inode)) ^ Number(inode >> 32n), GOLDEN);
    // The upper bits are the well mixed ones.
    let slot = ((mixed >>> 16) ^ mixed) & mask;
    while (this.#places[slot] !== 0 && this.#inodes[slot] !== inode) slot = (slot + 1) & mask;
    return slot;
  }

  #grow(): void {
    const [inodes, places] = [this.#inodes, this.#places];
    this.#inodes = new BigUint64Array(2 * inodes.length);
    this.#places = new Float64Array(2 * places.length);
    this.#count = 0;
    for (let slot = 0; slot < places.length; slot++) {
      if (places[slot] !== 0) this.set(inodes[slot] as bigint, (places[slot] as number) - 1);
    }
  }
}
