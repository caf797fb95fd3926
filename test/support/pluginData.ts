import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Room } from './pluginContract.ts';

/** What plugins are given to back up in their contract test. */

export const secret = { name: 'TEST_PLUGIN_SECRET', value: 'a-secret-that-nobody-sees' };

const onEach = (room: Room, work: (node: string) => unknown): void => {
  for (const node of room.nodes) work(node);
};

/** Files that differ from round to round. */
export const writeFiles = (room: Room, round: number): void =>
  onEach(room, (node) => {
    writeFileSync(join(room.root(node), 'VERSION'), `${round} of ${node}\n`);
    writeFileSync(
      join(room.root(node), 'data'),
      `data of ${node} in round ${round}, more than stands in a tree`.repeat(9),
    );
  });

export const filesOf = (room: Room): Record<string, string> =>
  Object.fromEntries(
    room.nodes.flatMap((node) =>
      readdirSync(room.root(node))
        .filter((name) => !name.startsWith('.'))
        .map((name) => [`${node}/${name}`, readFileSync(join(room.root(node), name), 'utf8')]),
    ),
  );
