import { commands } from './commands.ts';
import { runCommandLine } from './run.ts';

// Who reads no further, as in "homarus ls … | head", has seen enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

process.exitCode = await runCommandLine(commands, process.argv.slice(2), process);
