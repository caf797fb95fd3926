import { processState } from './patience.ts';

/** Whether a process of any parent still runs; a zombie that nobody has collected yet does not. */
export const alive = (pid: number): boolean => !/^(Z|$)/.test(processState(pid));
