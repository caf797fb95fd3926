import { Option } from 'commander';
import { findBackup, newestFirst, readEntries } from '../../client/reading.ts';
import { hasCode } from '../../domain/errors.ts';
import { basesOf, compileSelection } from '../../node/select.ts';
import type { Spec } from '../command.ts';
import { entryOf, lineOf } from '../entries.ts';
import { collect, nodeOption, storageOption } from '../options.ts';

export const find: Spec<{ storage?: string; node?: string[]; backup?: string[] }, [string]> = {
  usage: 'find <pattern>',
  summary: 'Say which backups hold what, the newest first',
  details:
    'A path or glob that is relative to the data root, as "ls" takes it; what is below a matched directory is not listed. ' +
    'It reads the lists of files of all backups unless --backup names some.',
  options: [
    new Option('--backup <name>', 'only in this backup; may be repeated').argParser(collect),
    nodeOption(),
    storageOption(),
  ],
  example: 'homarus find "**/commit-*.log" --node db1',
  async run(context, { storage, node: nodes, backup: named }, pattern) {
    const reading = await context.reading(storage, { anyCluster: true });
    const backups = named?.map((name) => findBackup(reading, name)) ?? newestFirst(reading);
    const { file: covers } = compileSelection({ include: [pattern], exclude: [] });
    const [below = ''] = basesOf([pattern]);
    // A directory that matches covers all below it: only its own row is wanted.
    const above = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));
    return {
      result: { pattern },
      listing: {
        field: 'found',
        async write(emit) {
          for (const { name } of backups) {
            try {
              await readEntries(reading, name, { nodes, below }, async ({ node, root, row }) => {
                const { path } = row;
                if (path === '' || !covers(path) || (above(path) !== '' && covers(above(path)))) return;
                const where = `${name}  ${node.roots.length > 1 ? `${node.id}/${root}` : node.id}`;
                await emit({ backup: name, node: node.id, root, ...entryOf(row) }, lineOf(where, row));
              });
            } catch (error) {
              // A node may be of some backups only, and a cleanup may be faster than we are.
              if (!(nodes !== undefined && hasCode(error, 'BadInput')) && !hasCode(error, 'BackupRemoved')) throw error;
            }
          }
        },
      },
    };
  },
};
