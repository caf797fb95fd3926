import fs from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import promises from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Node's file calls with every mutation put before a `Watch` first. What is one call here and many for the system
 * (a recursive removal, a file written at once) is many mutations, so that a stop comes between them, too.
 */

export interface Watch {
  /** Does the mutation, or throws. `half` is what a stop in the middle of it leaves. */
  sync<T>(what: string, perform: () => T, half?: () => void): T;
  /** Does the mutation, or never answers. */
  async<T>(what: string, perform: () => Promise<T>, half?: () => Promise<unknown>): Promise<T>;
  /** Files that are open; nobody else closes what a stopped operation left open. False: it is closed already. */
  opened?(file: number | FileHandle): void;
  closing?(file: number | FileHandle): boolean;
  /** Syncs bring nothing: only processes die, not the machine. */
  readonly noSync?: boolean;
}

type Call = (...args: never[]) => unknown;
type Calls = Record<string, Call>;

const syncNames = [
  ...['appendFileSync', 'chmodSync', 'chownSync', 'copyFileSync', 'fchmodSync', 'fchownSync', 'ftruncateSync'],
  ...['futimesSync', 'lchownSync', 'linkSync', 'lutimesSync', 'mkdirSync', 'mkdtempSync', 'renameSync', 'rmdirSync'],
  ...['symlinkSync', 'truncateSync', 'unlinkSync', 'utimesSync'],
];
const asyncNames = [
  ...['appendFile', 'chmod', 'chown', 'copyFile', 'lchown', 'link', 'lutimes', 'mkdir', 'mkdtemp', 'rename', 'rmdir'],
  ...['symlink', 'truncate', 'unlink', 'utimes'],
];
const handleNames = ['appendFile', 'chmod', 'chown', 'truncate', 'utimes', 'write', 'writeFile', 'writev'] as const;

/** What replaces calls of `node:fs` and of `node:fs/promises`, by name. */
export function watchedFileCalls(watch: Watch): { fs: Calls; promises: Calls } {
  // As they are now: the process may get these in their place.
  const real = { ...fs };
  const realPromises = { ...promises };
  const each = (names: readonly string[], wrap: (name: string) => Call): Calls =>
    Object.fromEntries(names.map((name) => [name, wrap(name)]));
  const told = (name: string, args: readonly unknown[]): string => `${name} ${shown(args[0])}`;

  const sync = each(syncNames, (name) => (...args) => {
    const call = real[name as 'mkdirSync'] as unknown as (...all: unknown[]) => unknown;
    return watch.sync(told(name, args), () => call(...args));
  });

  function openSync(path: fs.PathLike, flags: fs.OpenMode = 'r', mode?: fs.Mode): number {
    const open = (): number => real.openSync(path, flags, mode);
    const file = creates(flags) ? watch.sync(told('openSync', [path]), open) : open();
    watch.opened?.(file);
    return file;
  }

  function closeSync(file: number): void {
    if (watch.closing?.(file) ?? true) real.closeSync(file);
  }

  function writeSync(file: number, bytes: Uint8Array | string, ...where: (number | null | undefined)[]): number {
    const content = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
    const [offset = 0, length = content.length - (offset ?? 0), position] = typeof bytes === 'string' ? [] : where;
    const write = (many: number): number => real.writeSync(file, content, offset, many, position);
    const half = Math.floor((length ?? 0) / 2);
    return watch.sync(
      'writeSync',
      () => write(length ?? 0),
      () => write(half),
    );
  }

  function writeFileSync(
    path: fs.PathOrFileDescriptor,
    data: string | Uint8Array,
    options?: fs.WriteFileOptions,
  ): void {
    const bytes = Buffer.from(data as Uint8Array);
    if (typeof path !== 'number')
      watch.sync(told('writeFileSync', [path]), () => real.writeFileSync(path, '', options));
    const fill = (part: Buffer): void => real.writeFileSync(path, part);
    watch.sync(
      told('writeFileSync', [path]),
      () => fill(bytes),
      () => fill(bytes.subarray(0, bytes.length >> 1)),
    );
  }

  function rmSync(path: string, options: fs.RmOptions = {}): void {
    const found = real.lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined) {
      if (!options.force) real.rmSync(path);
    } else if (!found.isDirectory()) {
      watch.sync(told('rmSync', [path]), () => real.unlinkSync(path));
    } else {
      if (!options.recursive) real.rmSync(path);
      for (const name of real.readdirSync(path)) rmSync(join(path, name), options);
      watch.sync(told('rmSync', [path]), () => real.rmdirSync(path));
    }
  }

  async function rm(path: string, options: fs.RmOptions = {}): Promise<void> {
    const found = real.lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined) {
      if (!options.force) await realPromises.rm(path);
    } else if (!found.isDirectory()) {
      await watch.async(told('rm', [path]), () => realPromises.unlink(path));
    } else {
      if (!options.recursive) await realPromises.rm(path);
      for (const name of real.readdirSync(path)) await rm(join(path, name), options);
      await watch.async(told('rm', [path]), () => realPromises.rmdir(path));
    }
  }

  async function open(path: fs.PathLike, flags: fs.OpenMode = 'r', mode?: fs.Mode): Promise<FileHandle> {
    const doOpen = async (): Promise<FileHandle> =>
      watchHandle(await realPromises.open(path, flags as string, mode), watch);
    return creates(flags) ? watch.async(told('open', [path]), doOpen) : doOpen();
  }

  async function writeFile(path: string, data: string | Uint8Array, options?: object): Promise<void> {
    const bytes = Buffer.from(data as Uint8Array);
    await watch.async(told('writeFile', [path]), () => realPromises.writeFile(path, '', options));
    const fill = (part: Buffer) => realPromises.writeFile(path, part);
    await watch.async(
      told('writeFile', [path]),
      () => fill(bytes),
      () => fill(bytes.subarray(0, bytes.length >> 1)),
    );
  }

  const syncing = each(['fsyncSync', 'fdatasyncSync'], (name) => (file: number) => {
    const call = real[name as 'fsyncSync'];
    watch.sync(name, () => (watch.noSync ? undefined : call(file)));
  });

  return {
    fs: { ...sync, ...syncing, openSync, closeSync, writeSync, writeFileSync, rmSync } as Calls,
    promises: {
      ...each(asyncNames, (name) => (...args) => {
        const call = realPromises[name as 'mkdir'] as unknown as (...all: unknown[]) => Promise<unknown>;
        return watch.async(told(name, args), () => call(...args));
      }),
      ...({ open, rm, writeFile } as Calls),
    },
  };
}

function watchHandle(file: FileHandle, watch: Watch): FileHandle {
  watch.opened?.(file);
  const own = file as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
  for (const name of handleNames) {
    const call = (own[name] as (...args: unknown[]) => Promise<unknown>).bind(file);
    own[name] = (...args) => {
      const [content] = args;
      const half =
        name === 'writeFile' && content instanceof Uint8Array ? content.subarray(0, content.length >> 1) : '';
      return watch.async(
        `file.${name}`,
        () => call(...args),
        async () => half && call(half),
      );
    };
  }
  for (const name of ['sync', 'datasync'] as const) {
    const call = file[name].bind(file);
    file[name] = () => watch.async(`file.${name}`, async () => (watch.noSync ? undefined : call()));
  }
  const close = file.close.bind(file);
  file.close = async () => {
    if (watch.closing?.(file) ?? true) await close();
  };
  return file;
}

/** True when opening with these flags changes the file system. */
function creates(flags: fs.OpenMode): boolean {
  if (typeof flags === 'number') return (flags & (fs.constants.O_CREAT | fs.constants.O_TRUNC)) !== 0;
  return /[wa]/.test(flags);
}

const shown = (path: unknown): string => (path instanceof Uint8Array ? Buffer.from(path).toString() : String(path));
