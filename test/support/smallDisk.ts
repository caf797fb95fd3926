import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A small file system of its own, in memory, so that a test can fill it. Needs the right to mount. */
export class SmallDisk {
  readonly path: string;
  readonly #size: number;

  /** `size` in bytes; `inodes`: files and directories that it can hold; `path`: a directory, made where there is none. */
  constructor(size: number, inodes = 100_000, path = mkdtempSync(join(tmpdir(), 'homarus-disk-'))) {
    mkdirSync(path, { recursive: true });
    this.path = path;
    this.#size = size;
    this.#mount(`size=${size},nr_inodes=${inodes}`);
  }

  get free(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }

  /** Takes all space but so many bytes; answers how to give it back. */
  fill(leave = 0): () => void {
    const path = join(this.path, 'filler');
    const file = openSync(path, 'w');
    try {
      const block = Buffer.alloc(4096);
      while (this.free > leave) writeSync(file, block);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      closeSync(file);
    }
    return () => rmSync(path);
  }

  /** Makes it no larger than what is on it, while others write to it and without a file of its own; answers how to undo it. */
  shrink(): () => void {
    const { blocks, bfree, bsize } = statfsSync(this.path);
    for (let size = Math.max((blocks - bfree) * bsize, bsize); ; size += 16 * bsize) {
      try {
        // The system refuses a size that is less than what has come meanwhile.
        this.#mount(`remount,size=${size}`);
        return () => this.#mount(`remount,size=${this.#size}`);
      } catch (error) {
        if (size > this.#size) throw error;
      }
    }
  }

  /** Takes all places for files but so many; answers how to give them back. */
  fillPlaces(leave: number): () => void {
    const path = join(this.path, 'places');
    mkdirSync(path);
    for (let left = statfsSync(this.path).ffree; left > leave; left--) writeFileSync(join(path, String(left)), '');
    return () => rmSync(path, { recursive: true });
  }

  unmount(): void {
    execFileSync('umount', ['--lazy', this.path]);
    rmSync(this.path, { recursive: true });
  }

  #mount(options: string): void {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', this.path], { stdio: 'pipe' });
  }
}

/** Whether this process may mount at all. */
export function canMount(): boolean {
  try {
    new SmallDisk(65_536).unmount();
    return true;
  } catch {
    return false;
  }
}
