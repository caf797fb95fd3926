import { findBackup, readEntries } from '../../client/reading.ts';
import { basesOf, compileSelection } from '../../node/select.ts';
import type { Spec } from '../command.ts';
import { entryOf, lineOf } from '../entries.ts';
import { nodeOption, storageOption } from '../options.ts';

export const ls: Spec<{ storage?: string; node?: string[] }, [string, string | undefined]> = {
  usage: 'ls <backup> [path]',
  summary: 'List what is in a backup',
  details: 'A path or glob chooses what matches it, and what is below that; it is relative to the data root.',
  options: [nodeOption(), storageOption()],
  example: 'homarus ls latest "tables/*.db" --node a',
  async run(context, { storage, node: nodes }, wanted, path) {
    const reading = await context.reading(storage, { anyCluster: true });
    const { name } = findBackup(reading, wanted, { nodes });
    const globs = path === undefined ? [] : [path];
    const { file: covers } = compileSelection({ include: globs, exclude: [] });
    const [below = ''] = basesOf(globs);
    return {
      result: { backup: name },
      listing: {
        field: 'entries',
        write: (emit) =>
          readEntries(reading, name, { nodes, below }, async ({ node, root, row }) => {
            if (row.path === '' || !covers(row.path)) return;
            const where = node.roots.length > 1 ? `${node.id}/${root}` : node.id;
            await emit({ node: node.id, root, ...entryOf(row) }, lineOf(where, row));
          }),
      },
    };
  },
};
