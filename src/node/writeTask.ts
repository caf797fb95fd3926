import { closeSync } from 'node:fs';
import { damaged, openBlock } from '../storage/block.ts';
import { asBuffer } from '../storage/hash.ts';
import { release } from '../storage/memory.ts';
import type { PackRef } from '../storage/pack.ts';
import { packPlace, packSeal } from '../storage/pack.ts';
import type { Sealing } from '../storage/sealing.ts';
import { nameChunk } from '../storage/sealing.ts';
import type { Row } from '../storage/tree.ts';
import type { Piece } from './piece.ts';
import { decodePiece, PIECE_BYTES } from './piece.ts';
import type { Attributes, Target } from './place.ts';
import { finishFile, Parents, writeFailure, writeTemporary } from './place.ts';

/** A file that is being written. */
export interface FileToWrite extends Attributes, Pick<Row, 'path' | 'size' | 'sparse'> {
  readonly target: Target;
  /** Of its temporary file. */
  readonly name: string;
}

export interface WriteArgs {
  sealing: Sealing;
  pack: PackRef;
  /** What was read of the pack, from `start` on. */
  stored: Uint8Array;
  start: number;
  /** Sorted. */
  pieces: Uint8Array;
  /** By their number; with `whole` the piece is all of it and the file is put in its place. */
  files: Map<number, { file: FileToWrite; whole: boolean }>;
}

/** Opens the blocks, verifies each chunk once and writes it everywhere it belongs. */
export function writeChunks(args: WriteArgs): void {
  const { sealing, pack } = args;
  const seal = packSeal(sealing, pack);
  const stored = asBuffer(args.stored);
  const pieces = asBuffer(args.pieces);
  const parents = new ParentsOf();
  let block: Buffer = stored;
  let chunk: Buffer = stored;
  let last: Piece | undefined;
  const closeBlock = (): void => {
    if (block.buffer !== stored.buffer) release(block);
  };
  for (let at = 0; at < pieces.length; at += PIECE_BYTES) {
    const piece = decodePiece(pieces, at);
    const sameBlock = last?.offset === piece.offset;
    if (!sameBlock) {
      const from = piece.offset - args.start;
      closeBlock();
      block = openBlock(seal, piece.offset, stored.subarray(from, from + piece.stored));
    }
    if (!sameBlock || last?.inner !== piece.inner || last.length !== piece.length) {
      chunk = block.subarray(piece.inner, piece.inner + piece.length);
      if (!nameChunk(sealing, chunk).equals(piece.hash)) {
        throw damaged(packPlace(pack.id), `chunk ${piece.hash.toString('hex')} has another content`);
      }
    }
    last = piece;
    const { file, whole } = args.files.get(piece.file)!;
    try {
      const open = writeTemporary(file.target, file.name, chunk, piece.fileOffset, file.sparse === true);
      if (whole) finishFile(file.target, parents.of(file.target), open, file.name, file);
      else closeSync(open);
    } catch (error) {
      throw writeFailure(error, file.target.root, file.path);
    }
  }
  closeBlock();
  release(stored);
}

/** Writes files whose content stands in the tree. */
export function writeSmall(args: { files: { file: FileToWrite; content: Uint8Array }[] }): void {
  const parents = new ParentsOf();
  for (const { file, content } of args.files) {
    try {
      const open = writeTemporary(file.target, file.name, asBuffer(content), 0, file.sparse === true);
      finishFile(file.target, parents.of(file.target), open, file.name, file);
    } catch (error) {
      throw writeFailure(error, file.target.root, file.path);
    }
  }
}

class ParentsOf {
  readonly #byRoot = new Map<string, Parents>();

  of({ root }: Target): Parents {
    const parents = this.#byRoot.get(root) ?? new Parents(root);
    this.#byRoot.set(root, parents);
    return parents;
  }
}
