import { findBackup, readEntries } from '../../client/reading.ts';
import { formatBytes } from '../../domain/text.ts';
import { shown } from '../../node/bytePath.ts';
import { basesOf, compileSelection } from '../../node/select.ts';
import type { Row, RowType } from '../../storage/tree.ts';
import type { Spec } from '../command.ts';
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

/** Paths are bytes: what is no UTF-8 comes in base64, too. */
function entryOf({ path, type, size, mtime, mode, uid, gid, target }: Row): object {
  return {
    ...textOf('path', path),
    type,
    size,
    mtime: timeOf(mtime),
    mode,
    uid,
    gid,
    ...(target === undefined ? {} : textOf('target', target)),
  };
}

function textOf(name: string, bytes: string): Record<string, string> {
  const buffer = Buffer.from(bytes, 'latin1');
  const text = buffer.toString('utf8');
  return Buffer.from(text).equals(buffer)
    ? { [name]: text }
    : { [name]: text, [`${name}Base64`]: buffer.toString('base64') };
}

const letters: Record<RowType, string> = { file: '-', directory: 'd', symlink: 'l', hardlink: 'h' };

function lineOf(where: string, row: Row): string {
  const size = row.type === 'file' ? formatBytes(row.size) : '';
  const target = row.target === undefined ? '' : ` -> ${shown(row.target)}`;
  return `${where}  ${letters[row.type]}${rights(row.mode)}  ${size.padStart(10)}  ${timeOf(row.mtime)}  ${shown(row.path)}${target}`;
}

const rights = (mode: number): string =>
  [...'rwxrwxrwx'].map((letter, place) => (mode & (0o400 >> place) ? letter : '-')).join('');

/** Nanoseconds since 1970, as UTC to the second. */
const timeOf = (mtime: bigint): string => new Date(Number(mtime / 1_000_000n)).toISOString().replace(/\.\d+Z$/, 'Z');
