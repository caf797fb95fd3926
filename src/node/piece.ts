import { HASH_BYTES } from '../storage/hash.ts';

/**
 * One place of a file that a chunk goes to: what the fetch plan sorts, by pack, place in the pack and file.
 * pack:u32 offset:u32 inner:u32 file:u64 fileOffset:u64 (big-endian, the key) stored:u32 length:u32 hash:32
 */
export const PIECE_BYTES = 68;
export const PIECE_KEY_BYTES = 28;
export const PIECE_STORED_FIELD = 28;

export interface Piece {
  pack: number;
  offset: number;
  inner: number;
  file: number;
  fileOffset: number;
  stored: number;
  length: number;
  hash: Buffer;
}

export function encodePiece(piece: Piece): Buffer {
  const record = Buffer.allocUnsafe(PIECE_BYTES);
  record.writeUInt32BE(piece.pack, 0);
  record.writeUInt32BE(piece.offset, 4);
  record.writeUInt32BE(piece.inner, 8);
  record.writeBigUInt64BE(BigInt(piece.file), 12);
  record.writeBigUInt64BE(BigInt(piece.fileOffset), 20);
  record.writeUInt32LE(piece.stored, PIECE_STORED_FIELD);
  record.writeUInt32LE(piece.length, 32);
  piece.hash.copy(record, 36);
  return record;
}

export function decodePiece(records: Buffer, at = 0): Piece {
  return {
    pack: records.readUInt32BE(at),
    offset: records.readUInt32BE(at + 4),
    inner: records.readUInt32BE(at + 8),
    file: Number(records.readBigUInt64BE(at + 12)),
    fileOffset: Number(records.readBigUInt64BE(at + 20)),
    stored: records.readUInt32LE(at + PIECE_STORED_FIELD),
    length: records.readUInt32LE(at + 32),
    hash: records.subarray(at + 36, at + 36 + HASH_BYTES),
  };
}
