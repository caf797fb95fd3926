import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { HomarusError, noSpaceAt } from '../domain/errors.ts';
import { count, record, text } from '../domain/shape.ts';
import { readState, writeState } from './stateFile.ts';
import { namesIn } from './workDirectory.ts';

/** Who a node's worker is: the incarnation of its state, and that one process alone works on it. */

interface Incarnation {
  incarnation: string;
}
const incarnationState = record({ incarnation: text });

/** A random id, kept in the state directory and in the link directories: any of them proves the node. */
export function incarnationOf(stateDir: string, linkDirs: readonly string[]): string {
  const places = [stateDir, ...linkDirs].map((directory) => join(directory, 'incarnation.json'));
  const known = places
    .map((path) => readState<Incarnation>(path, incarnationState)?.incarnation)
    .find((id) => id !== undefined);
  const incarnation = known ?? randomUUID();
  for (const path of places) {
    if (readState<Incarnation>(path, incarnationState)?.incarnation !== incarnation) writeState(path, { incarnation });
  }
  return incarnation;
}

interface ProcessEntry {
  pid: number;
  /** Start of the process in clock ticks since boot, where the system tells: pids are used again. */
  started: string;
  host: string;
}
const processEntry = record({ pid: count, started: text, host: text });

/**
 * One process per state directory. `NodeTaken` while another one lives, even stopped; what a killed one left is taken
 * over. Answers how to give it up.
 */
export function claimStateDir(stateDir: string, node: string): () => void {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const path = join(stateDir, 'process.json');
  const mine = thisProcess();
  const aside = `${path}.${process.pid}`;
  try {
    writeFileSync(aside, JSON.stringify(mine), { mode: 0o600 });
    for (;;) {
      try {
        linkSync(aside, path);
        break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const other = readState<ProcessEntry>(path, processEntry);
      if (other !== undefined && lives(other)) {
        throw new HomarusError(
          'NodeTaken',
          `node ${node}: process ${other.pid} on ${other.host} works on ${stateDir} already`,
          { hint: `Stop it first; it counts while it lives, even stopped (kill -CONT ${other.pid} wakes it).` },
        );
      }
      setAside(path, other, `${aside}.stale`);
    }
  } catch (error) {
    throw noSpaceAt(stateDir, error) ?? error;
  } finally {
    rmSync(aside, { force: true });
  }
  return () => {
    if (readState<ProcessEntry>(path, processEntry)?.pid === process.pid) rmSync(path, { force: true });
  };
}

/**
 * A directory below `base` for the temporary files of this process alone; what dead processes of this machine left there
 * is removed.
 */
export function processDirectory(base: string, own = thisProcess()): string {
  for (const name of namesIn(base)) {
    const [, pid, started, host] = /^(\d+)-(\w*)-(.+)$/.exec(name) ?? [];
    if (pid === undefined || started === undefined || host !== hostname()) continue;
    if (!lives({ pid: Number(pid), started, host })) rmSync(join(base, name), { recursive: true, force: true });
  }
  const directory = join(base, `${own.pid}-${own.started}-${own.host}`);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return directory;
}

const thisProcess = (): ProcessEntry => ({ pid: process.pid, started: startOf(process.pid), host: hostname() });

/** Removes a dead process's entry, and only that: a third process may have replaced it since it was read. */
function setAside(path: string, stale: ProcessEntry | undefined, taken: string): void {
  try {
    renameSync(path, taken);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  const found = readState<ProcessEntry>(taken, processEntry);
  if (found !== undefined && (found.pid !== stale?.pid || found.started !== stale.started)) linkSync(taken, path);
  rmSync(taken, { force: true });
}

function lives(entry: ProcessEntry): boolean {
  if (entry.host !== hostname()) return false;
  try {
    process.kill(entry.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return startOf(entry.pid) === entry.started;
}

/** Fields 3 and 22 of /proc/<pid>/stat (proc(5)): a zombie is dead. Empty where there is no /proc. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? 'zombie' : (fields[19] ?? '');
  } catch {
    return '';
  }
}
