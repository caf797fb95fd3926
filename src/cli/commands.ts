import type { Group } from './command.ts';
import { acceptRollback } from './commands/acceptRollback.ts';
import { backup } from './commands/backup.ts';
import { cleanup, deletion } from './commands/cleanup.ts';
import { completion } from './commands/completion.ts';
import { configCommands } from './commands/config.ts';
import { diff } from './commands/diff.ts';
import { doctor } from './commands/doctor.ts';
import { drill } from './commands/drill.ts';
import { extract } from './commands/extract.ts';
import { find } from './commands/find.ts';
import { keyCommands } from './commands/keys.ts';
import { list, show } from './commands/list.ts';
import { lock, unlock } from './commands/lock.ts';
import { ls } from './commands/ls.ts';
import { pin, unpin } from './commands/marks.ts';
import { cancel, follow } from './commands/operations.ts';
import { repair } from './commands/repair.ts';
import { restore } from './commands/restore.ts';
import { scheduleCommands } from './commands/schedules.ts';
import { api, coordinator, node, run } from './commands/serve.ts';
import { init } from './commands/setup.ts';
import { status } from './commands/status.ts';
import { tokenCommands } from './commands/token.ts';
import { demo, dev } from './commands/tryOut.ts';
import { verify } from './commands/verify.ts';

/** All commands, in the order of the help. */
export const commands: readonly Group[] = [
  { heading: 'Try it:', commands: [demo, dev, completion(() => commands)] },
  {
    heading: 'Operations:',
    commands: [backup, restore, drill, cleanup, deletion, verify, lock, unlock, follow, cancel],
  },
  { heading: 'Backups:', commands: [list, show, ls, find, diff, extract, pin, unpin] },
  {
    heading: 'The cluster:',
    commands: [
      init,
      doctor,
      repair,
      configCommands,
      status,
      scheduleCommands,
      keyCommands,
      tokenCommands,
      acceptRollback,
    ],
  },
  { heading: 'Processes:', commands: [run, node, coordinator, api] },
];
