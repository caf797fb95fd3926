import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { readState, writeState } from '../node/stateFile.ts';
import type { Notes } from '../plugins/module.ts';

/** A plugin's notes on one node, in its state directory: they outlive the process. */
export function notesIn(stateDir: string, plugin: string): Notes {
  const path = join(stateDir, `plugin-${plugin}.json`);
  return {
    read: <T>() => readState<{ note: T }>(path)?.note,
    write: (note) => writeState(path, { note }),
    clear: () => rmSync(path, { force: true }),
  };
}
