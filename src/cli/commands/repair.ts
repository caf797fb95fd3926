import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Option } from 'commander';
import { formatDuration } from '../../domain/text.ts';
import { openStore } from '../../storage/openStore.ts';
import type { RepairResult } from '../../storage/repair.ts';
import { repair as repairRepository } from '../../storage/repair.ts';
import { openRepository } from '../../storage/repository.ts';
import { confirm } from '../ask.ts';
import type { Spec } from '../command.ts';
import { storageOption, yesOption } from '../options.ts';
import { counted } from '../terminal.ts';

export const repair: Spec<{ storage?: string; dryRun?: boolean; yes?: boolean }> = {
  usage: 'repair',
  summary: 'Make a new root of what a storage still holds, when its roots or indexes are lost or damaged',
  details:
    'All workers of the cluster must be stopped. It needs repository.json, builds the index anew from the packs, lists the ' +
    'backups that are whole and sets others aside by name; it deletes nothing.',
  options: [new Option('--dry-run', 'only say what it would do'), storageOption(), yesOption()],
  example: 'homarus repair --dry-run',
  async run(context, { storage, dryRun = false, yes }) {
    const { cluster, lock, compression, dataDir } = await context.config();
    const settings = await context.storage(storage);
    const store = await openStore(settings);
    try {
      const repository = await openRepository(store, {
        cluster,
        level: compression.level,
        encryption: settings.encryption,
      });
      if (!dryRun) {
        const silence = formatDuration(lock.ttl);
        await confirm(
          context.terminal,
          `This writes a new root to ${store.description}, a million above all that was there. All workers of cluster ${cluster} must be stopped, for ${silence} already.`,
          yes,
        );
      }
      const directory = join(dataDir, 'work');
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const result = await repairRepository(repository, {
        directory,
        ttl: lock.ttl,
        dryRun,
        signal: context.interruption(),
        onStep: (what) => context.output.note(`repair: ${what}`),
      });
      return { result: { dryRun, ...result }, text: describe(result, dryRun) };
    } finally {
      await store.close();
    }
  },
};

function describe({ number, listed, aside, packs, chunks, lost }: RepairResult, dryRun: boolean): string {
  const lines = [
    `${dryRun ? 'would write' : 'wrote'} root ${number} with ${counted(listed.length, 'backup')}, ${counted(packs, 'pack')} and ${counted(chunks, 'chunk')}`,
    ...lost.map(({ key, why }) => `not whole: ${key}: ${why}`),
    ...aside.map(({ name, why }) => `set aside: backup ${name}: ${why}`),
  ];
  if (aside.length > 0) {
    lines.push('What is set aside is restored by its name as far as it goes, and kept until "homarus delete NAME".');
  }
  return lines.join('\n');
}
