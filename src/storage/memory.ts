/** Smaller ones may be parts of Node's pool, which all share; and it is not worth while. */
const RELEASED_FROM = Math.max(Buffer.poolSize, 64 * 1024) + 1;

/**
 * Gives the memory of bytes that nobody needs any more back at once, instead of when the garbage collector comes: it comes
 * more often the more memory waits for it, and marks the whole heap each time. What is part of something larger stays. The
 * bytes have length 0 afterwards.
 */
export function release(bytes: Uint8Array): void {
  const { buffer, byteOffset } = bytes;
  if (byteOffset === 0 && buffer.byteLength >= RELEASED_FROM && buffer instanceof ArrayBuffer) buffer.transfer(0);
}
