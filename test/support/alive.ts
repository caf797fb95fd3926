import { execFileSync } from 'node:child_process';

/** Whether a process of any parent still runs; a zombie that nobody has collected yet does not. */
export function alive(pid: number): boolean {
  try {
    return !/^\s*(Z|$)/.test(execFileSync('ps', ['-o', 'stat=', '-p', `${pid}`], { encoding: 'utf8' }));
  } catch {
    return false;
  }
}
