import { existsSync } from 'node:fs';
import { SeenRoots } from '../../storage/seen.ts';
import { seenByCoordinator } from '../../workers/settings.ts';
import { confirm } from '../ask.ts';
import type { Spec } from '../command.ts';
import { storageOption, yesOption } from '../options.ts';
import { counted } from '../terminal.ts';

export const acceptRollback: Spec<{ storage?: string; yes?: boolean }> = {
  usage: 'accept-rollback',
  summary: 'Believe a storage that was put back to an older state, on this machine',
  details:
    'Nodes and coordinators remember the highest state that they saw of a storage, and refuse an older one. Where it is ' +
    'meant, run this on every machine that refuses, as the user that homarus runs as there.',
  options: [storageOption(), yesOption()],
  example: 'homarus accept-rollback --storage main',
  async run(context, { storage, yes }) {
    const config = await context.config();
    const { repository, at } = await context.reading(storage, { anyCluster: true });
    const { number, backups } = at.root;
    await confirm(
      context.terminal,
      `This machine will believe root ${number} of ${repository.store.description}, with ${counted(backups.length, 'backup')}, whatever it saw there before.`,
      yes,
    );
    const machine = [
      { who: 'coordinator', seen: seenByCoordinator(config), here: existsSync(config.dataDir) },
      ...config.nodes.map(({ id, stateDir }) => ({
        who: `node ${id}`,
        seen: new SeenRoots(stateDir),
        here: existsSync(stateDir),
      })),
    ];
    const accepted: { who: string; before: number | null }[] = [];
    for (const { who, seen, here } of machine) {
      if (here) accepted.push({ who, before: (await seen.accept(repository, at)) ?? null });
    }
    const lines = accepted.map(({ who, before }) =>
      before === null ? `${who}: knew no other` : `${who}: had seen root ${before}, now believes root ${number}`,
    );
    return {
      result: { root: number, accepted },
      text: lines.join('\n') || 'no process of homarus remembers anything on this machine',
    };
  },
};
