import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { anything, record } from '../domain/shape.ts';
import { readState, writeState } from '../node/stateFile.ts';
import type { Notes } from '../plugins/module.ts';

const notesState = record({ note: anything });

/** A plugin's notes on one node, in its state directory: they outlive the process. */
export function notesIn(stateDir: string, plugin: string): Notes {
  const path = join(stateDir, `plugin-${plugin}.json`);
  return {
    read: <T>() => readState<{ note: T }>(path, notesState)?.note,
    write: (note) => writeState(path, { note }),
    clear: () => rmSync(path, { force: true }),
  };
}
