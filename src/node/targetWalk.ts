import type { BigIntStats } from 'node:fs';
import { readdirSync } from 'node:fs';
import type { BytePath } from './bytePath.ts';
import { fileAt } from './bytePath.ts';
import { lstatOf, openUp } from './place.ts';

export interface Found {
  readonly path: BytePath;
  readonly stat: BigIntStats;
}

/**
 * What is below `root`, which comes first itself, in the order of a tree's rows. Links are not followed, and only
 * directories for which `descend` is true are entered, when the walk goes on. `openClosed`: a directory of ours that we may
 * not read is made readable first.
 */
export function* walkTarget(root: BytePath, descend: (found: Found) => boolean, openClosed: boolean): Generator<Found> {
  const levels: { directory: BytePath; names: string[]; next: number }[] = [];
  const enter = (found: Found): void => {
    if (!found.stat.isDirectory() || !descend(found)) return;
    if (openClosed) openUp(fileAt(root, found.path), found.stat);
    // As latin1, so that the order of strings is that of the bytes.
    const names = readdirSync(fileAt(root, found.path), { encoding: 'latin1' }).sort();
    levels.push({ directory: found.path, names, next: 0 });
  };
  const top = lstatOf(fileAt(root, ''));
  if (top === undefined) return;
  const found = { path: '', stat: top };
  yield found;
  enter(found);
  for (let level = levels.at(-1); level; level = levels.at(-1)) {
    const name = level.names[level.next++];
    if (name === undefined) {
      levels.pop();
      continue;
    }
    const path = level.directory === '' ? name : `${level.directory}/${name}`;
    const stat = lstatOf(fileAt(root, path));
    if (stat === undefined) continue;
    yield { path, stat };
    enter({ path, stat });
  }
}
