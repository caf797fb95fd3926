import { createInterface } from 'node:readline/promises';
import { HomarusError } from '../domain/errors.ts';
import type { Terminal } from './terminal.ts';

export const canAsk = ({ stdin, stderr }: Terminal): boolean => stdin.isTTY === true && stderr.isTTY === true;

/**
 * Says what a destructive command will do and asks for a `yes`. `NotConfirmed` for any other answer, and where nobody
 * can be asked.
 */
export async function confirm(terminal: Terminal, what: string, yes: boolean | undefined): Promise<void> {
  if (yes) return;
  const { stdin, stderr } = terminal;
  if (!canAsk(terminal)) {
    throw new HomarusError(
      'NotConfirmed',
      `${what}\nThis needs a "yes", and nobody can be asked here: it is no terminal`,
    );
  }
  const asking = createInterface({ input: stdin, output: stderr });
  const ended = new Promise<string>((resolve) => {
    asking.once('close', () => resolve(''));
  });
  try {
    const question = asking.question(`${what}\nType "yes" to go on: `).catch(() => '');
    const answer = await Promise.race([question, ended]);
    if (answer.trim().toLowerCase() !== 'yes') {
      throw new HomarusError('NotConfirmed', 'this was not confirmed; nothing was done');
    }
  } finally {
    asking.close();
  }
}
