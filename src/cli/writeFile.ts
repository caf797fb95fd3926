import { randomBytes } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { HomarusError, noSpaceAt } from '../domain/errors.ts';

/**
 * Makes `path` a file with this content: written beside it and put in its place when all of it is on the disk. Answers its
 * bytes. `BadInput` when a directory stands there, `FileUnwritable` when it cannot be written.
 */
export async function writeFileFrom(path: string, content: AsyncIterable<Uint8Array>): Promise<number> {
  const there = await stat(path).catch(() => undefined);
  if (there?.isDirectory()) throw new HomarusError('BadInput', `--to: ${path} is a directory; name a file`);
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  let bytes = 0;
  try {
    const file = await open(aside, 'wx', 0o600);
    try {
      for await (const part of content) {
        await file.writeFile(part);
        bytes += part.length;
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(aside, path);
    return bytes;
  } catch (error) {
    await rm(aside, { force: true });
    if (typeof (error as NodeJS.ErrnoException).syscall !== 'string') throw error;
    const message = `${path} cannot be written: ${(error as Error).message}`;
    throw noSpaceAt(path, error) ?? new HomarusError('FileUnwritable', message, { cause: error });
  }
}
