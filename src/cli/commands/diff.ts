import type { Difference } from '../../client/diff.ts';
import { differences } from '../../client/diff.ts';
import { findBackup } from '../../client/reading.ts';
import type { Spec } from '../command.ts';
import { entryOf, lineOf } from '../entries.ts';
import { nodeOption, storageOption } from '../options.ts';

const SIGN: Record<Difference['change'], string> = { added: '+', removed: '-', content: 'M', attributes: 'A' };

export const diff: Spec<{ storage?: string; node?: string[] }, [string, string]> = {
  usage: 'diff <from> <to>',
  summary: 'Say what differs between two backups',
  details:
    '+ added, - removed, M other content, A other attributes (time, mode, owner). What is the same is not even read.',
  options: [nodeOption(), storageOption()],
  example: 'homarus diff 2026-11-23T03-15-00Z latest --node db1',
  async run(context, { storage, node: nodes }, from, to) {
    const reading = await context.reading(storage, { anyCluster: true });
    const [one, other] = [findBackup(reading, from), findBackup(reading, to)];
    return {
      result: { from: one.name, to: other.name },
      listing: {
        field: 'differences',
        async write(emit) {
          for await (const { node, root, change, row, former } of differences(reading, one, other, nodes)) {
            const sizes = former && former.size !== row.size ? { formerSize: former.size } : {};
            await emit(
              { node, root, change, ...entryOf(row), ...sizes },
              lineOf(`${SIGN[change]} ${node}/${root}`, row),
            );
          }
        },
      },
    };
  },
};
