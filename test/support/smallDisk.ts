import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A small file system of its own, in memory, so that a test can fill it. Needs the right to mount. */
export class SmallDisk {
  readonly path: string;

  /** `size` in bytes; `inodes`: files and directories that it can hold. */
  constructor(size: number, inodes = 100_000) {
    this.path = mkdtempSync(join(tmpdir(), 'homarus-disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},nr_inodes=${inodes}`, 'tmpfs', this.path]);
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
