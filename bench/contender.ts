import { spawnSync } from 'node:child_process';
import type { Measured } from './measure.ts';

/** A tool that is measured: Homarus and its peers, all asked for the same. */
export interface Contender {
  readonly name: string;
  /** For the report. */
  readonly version: string;
  /** An empty repository for backups of `data`; the one before is dropped. */
  begin(data: string): Promise<void>;
  backup(): Promise<Measured>;
  /** The newest backup, into an empty directory. */
  restore(to: string): Promise<Measured>;
  /** Removes all backups but the newest `keep`, and what they alone needed. */
  keepNewest(keep: number): Promise<Measured>;
  /** Bytes of the repository. */
  stored(): number;
}

/** A bucket, for contenders that can use one. */
export interface Bucket {
  endpoint: string;
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** Where the server keeps it on this machine. */
  directory: string;
}

export interface Place {
  /** For repositories, caches and logs. */
  room: string;
  /** Repositories stand there; else in the room. */
  bucket?: Bucket;
}

/** First line of what a program says of itself; undefined where it is not installed. */
export function versionOf(program: string, ...args: string[]): string | undefined {
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8' });
  return status === 0 ? (stdout.split('\n')[0] as string).trim() : undefined;
}
