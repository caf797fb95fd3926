import { randomBytes } from 'node:crypto';
import type { Dirent } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { link, mkdir, open, readdir, rename, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ErrorCode } from '../domain/errors.ts';
import { HomarusError } from '../domain/errors.ts';
import type { ByteRange, CallOptions, ListedObject, ObjectStat, ObjectStore } from './objectStore.ts';
import { checkKey } from './objectStore.ts';
import { pieces } from './pieces.ts';

/** Writes go here first; it cannot be a key, so it is never listed. */
const PARTIAL = '.partial';

const codes: Record<string, ErrorCode> = {
  ENOSPC: 'StoreFull',
  EDQUOT: 'StoreFull',
  EACCES: 'StoreForbidden',
  EPERM: 'StoreForbidden',
  EROFS: 'StoreForbidden',
};

/**
 * A directory as a store. An object is written aside, fsynced and then linked to its name, so it is whole or not there;
 * the directory is fsynced before success is told. A crash leaves at most a file in `.partial`.
 */
export class FileStore implements ObjectStore {
  readonly #base: string;
  readonly #mayWrite: () => void;

  constructor(path: string, { mayWrite }: { mayWrite?: () => void } = {}) {
    this.#base = path;
    this.#mayWrite = mayWrite ?? (() => undefined);
  }

  get description(): string {
    return this.#base;
  }

  /** Makes the directory itself; only who creates a repository does: a missing one may be a mount that is gone. */
  static async make(path: string): Promise<void> {
    await mkdir(path, { recursive: true });
  }

  create(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, options: CallOptions = {}) {
    checkKey(key);
    return this.#told('writing', key, async () => {
      const aside = await this.#writeAside(body, options);
      try {
        return await this.#linkTo(aside, key);
      } finally {
        await unlink(aside);
      }
    });
  }

  overwrite(key: string, body: Uint8Array, options: CallOptions = {}): Promise<void> {
    checkKey(key);
    return this.#told('writing', key, async () => {
      const aside = await this.#writeAside(body, options);
      const path = this.#path(key);
      await this.#withDirectory(path, () => {
        this.#mayWrite();
        return rename(aside, path);
      });
      await syncDirectory(dirname(path));
    });
  }

  read(key: string, range?: ByteRange, options: CallOptions = {}): Promise<Buffer | undefined> {
    checkKey(key);
    return this.#told('reading', key, async () => {
      options.signal?.throwIfAborted();
      const file = await this.#openExisting(key);
      if (file === undefined) return undefined;
      try {
        const start = range?.start ?? 0;
        const left = Math.max((await file.stat()).size - start, 0);
        const bytes = Buffer.allocUnsafeSlow(Math.min(range?.length ?? left, left));
        let done = 0;
        while (done < bytes.length) {
          const { bytesRead } = await file.read(bytes, done, bytes.length - done, start + done);
          if (bytesRead === 0) break;
          done += bytesRead;
        }
        return bytes.subarray(0, done);
      } finally {
        await file.close();
      }
    });
  }

  stat(key: string, options: CallOptions = {}): Promise<ObjectStat | undefined> {
    checkKey(key);
    return this.#told('reading', key, async () => {
      options.signal?.throwIfAborted();
      const found = await stat(this.#path(key)).catch(missingAs(undefined));
      if (found === undefined) await this.#checkBase();
      return found?.isFile() ? { size: found.size, modified: Math.floor(found.mtimeMs) } : undefined;
    });
  }

  async *list(prefix: string, options: CallOptions & { after?: string } = {}): AsyncGenerator<ListedObject> {
    await this.#told('listing', prefix, () => this.#checkBase());
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    yield* this.#listFolder(folder, prefix, options);
  }

  async *#listFolder(
    folder: string,
    prefix: string,
    options: CallOptions & { after?: string },
  ): AsyncGenerator<ListedObject> {
    options.signal?.throwIfAborted();
    const found = await this.#told('listing', folder, () =>
      readdir(join(this.#base, folder), { withFileTypes: true }).catch(missingAs([] as Dirent[])),
    );
    // A folder sorts as its objects do: by its name with the slash behind it.
    const names = found
      .filter((entry) => folder !== '' || entry.name !== PARTIAL)
      .map((entry) => (entry.isDirectory() ? `${folder}${entry.name}/` : `${folder}${entry.name}`))
      .sort((a, b) => (a < b ? -1 : 1));
    const { after } = options;
    for (const name of names) {
      const isFolder = name.endsWith('/');
      if (!name.startsWith(prefix) && !(isFolder && prefix.startsWith(name))) continue;
      if (isFolder) {
        if (after !== undefined && name < after && !after.startsWith(name)) continue;
        yield* this.#listFolder(name, prefix, options);
      } else if (after === undefined || name > after) {
        const object = await this.stat(name, options);
        if (object) yield { key: name, ...object };
      }
    }
  }

  async remove(keys: readonly string[], options: CallOptions = {}): Promise<{ retained: string[] }> {
    for (const key of keys) checkKey(key);
    const folders = new Set<string>();
    for (const key of keys) {
      options.signal?.throwIfAborted();
      await this.#told('removing', key, async () => {
        this.#mayWrite();
        await unlink(this.#path(key)).catch(missingAs(undefined));
      });
      folders.add(dirname(this.#path(key)));
    }
    await this.#told('removing', keys[0] ?? '', async () => {
      await this.#checkBase();
      for (const folder of folders) await this.#settle(folder);
    });
    return { retained: [] };
  }

  removeUnfinished(before: number, options: CallOptions = {}): Promise<number> {
    return this.#told('removing', PARTIAL, async () => {
      await this.#checkBase();
      let removed = 0;
      for (const name of await readdir(join(this.#base, PARTIAL)).catch(missingAs([] as string[]))) {
        options.signal?.throwIfAborted();
        const path = join(this.#base, PARTIAL, name);
        const found = await stat(path).catch(missingAs(undefined));
        if (found === undefined || found.mtimeMs >= before) continue;
        this.#mayWrite();
        await unlink(path).catch(missingAs(undefined));
        removed++;
      }
      return removed;
    });
  }

  /** The clock of the file system, which on a network mount is its server's. */
  now(): Promise<number> {
    return this.#told('writing', PARTIAL, async () => {
      const aside = await this.#writeAside(new Uint8Array(), {});
      try {
        return Math.floor((await stat(aside)).mtimeMs);
      } finally {
        await unlink(aside);
      }
    });
  }

  async close(): Promise<void> {}

  #path(key: string): string {
    return join(this.#base, key);
  }

  async #writeAside(body: Uint8Array | AsyncIterable<Uint8Array>, { signal }: CallOptions): Promise<string> {
    signal?.throwIfAborted();
    const aside = join(this.#base, PARTIAL, randomBytes(12).toString('hex'));
    let file: FileHandle;
    try {
      file = await open(aside, 'wx', 0o600);
    } catch (error) {
      if (!isMissing(error)) throw error;
      await this.#checkBase();
      await mkdir(dirname(aside), { recursive: true });
      file = await open(aside, 'wx', 0o600);
    }
    try {
      if (body instanceof Uint8Array) {
        for (const piece of pieces(body, this.#mayWrite)) await file.writeFile(piece);
      } else {
        for await (const part of body) {
          signal?.throwIfAborted();
          this.#mayWrite();
          await file.writeFile(part);
        }
      }
      signal?.throwIfAborted();
      await file.sync();
      await file.close();
      return aside;
    } catch (error) {
      await file.close().catch(() => undefined);
      await unlink(aside).catch(() => undefined);
      throw error;
    }
  }

  async #linkTo(aside: string, key: string): Promise<'created' | 'exists'> {
    const path = this.#path(key);
    let answer: 'created' | 'exists' = 'created';
    await this.#withDirectory(path, async () => {
      try {
        this.#mayWrite();
        await link(aside, path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        answer = 'exists';
      }
    });
    await syncDirectory(dirname(path));
    return answer;
  }

  /** Makes the folders of `path`, and again when somebody removed them as empty in between. */
  async #withDirectory(path: string, work: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
      await this.#checkBase();
      const first = await mkdir(dirname(path), { recursive: true });
      if (first === undefined) continue;
      for (let folder = dirname(path); folder.length >= dirname(first).length; folder = dirname(folder)) {
        await syncDirectory(folder).catch(missingAs(undefined));
      }
    }
  }

  /** After removals: makes them durable, and drops folders that became empty. */
  async #settle(folder: string): Promise<void> {
    let at = folder;
    for (; at.length > this.#base.length; at = dirname(at)) {
      try {
        await rmdir(at);
      } catch (error) {
        if (isMissing(error)) continue;
        break;
      }
    }
    await syncDirectory(at).catch(missingAs(undefined));
  }

  async #openExisting(key: string): Promise<FileHandle | undefined> {
    const file = await open(this.#path(key), 'r').catch(missingAs(undefined));
    if (file === undefined) await this.#checkBase();
    return file;
  }

  async #checkBase(): Promise<void> {
    const found = await stat(this.#base).catch(missingAs(undefined));
    if (found?.isDirectory()) return;
    throw new HomarusError('StoreUnreachable', `storage ${this.#base} is not there: is its file system mounted?`, {
      hint: 'Mount it; "homarus init" makes the directory of a new storage.',
    });
  }

  async #told<T>(doing: string, key: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (error instanceof HomarusError || typeof code !== 'string' || !/^E[A-Z]+$/.test(code)) throw error;
      const text = `storage ${this.#base}: ${doing} ${key} failed: ${message}`;
      throw new HomarusError(codes[code] ?? 'StoreUnreachable', text, { cause: error });
    }
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

const isMissing = (error: unknown): boolean => {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
};

const missingAs =
  <T>(answer: T) =>
  (error: unknown): T => {
    if (isMissing(error)) return answer;
    throw error;
  };
