import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

/** The file that keeps uploads of light nodes from going on while it is there. */
export const holdOf = (configFile: string): string => `${configFile}.hold`;

export async function held(configFile: string, signal: AbortSignal): Promise<void> {
  while (existsSync(holdOf(configFile))) await pause(50, undefined, { signal });
}
