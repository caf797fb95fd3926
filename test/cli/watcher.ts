import process from 'node:process';
import { whatNow } from '../../src/cli/ask.ts';

/** Waits until Ctrl-C, asks what now, and waits again if so: what a command does that shows an operation. */
const interrupted = (): Promise<void> =>
  new Promise((resolve) => {
    const waiting = setInterval(() => undefined, 1_000);
    process.once('SIGINT', () => {
      clearInterval(waiting);
      resolve();
    });
    process.stderr.write('watching\n');
  });

for (let chosen = 'watch'; chosen === 'watch'; ) {
  await interrupted();
  chosen = await whatNow(process, 'backup-1');
  process.stderr.write(`it is to ${chosen}\n`);
}
