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
  if (!canAsk(terminal)) {
    throw new HomarusError(
      'NotConfirmed',
      `${what}\nThis needs a "yes", and nobody can be asked here: it is no terminal`,
    );
  }
  const answer = await answerTo(terminal, `${what}\nType "yes" to go on: `);
  if (answer?.toLowerCase() !== 'yes') {
    throw new HomarusError('NotConfirmed', 'this was not confirmed; nothing was done');
  }
}

export type WhatNow = 'watch' | 'leave' | 'cancel';

/** Asks who pressed Ctrl-C what is to become of the operation that he watched. Ctrl-C again leaves it running. */
export async function whatNow(terminal: Terminal, id: string): Promise<WhatNow> {
  terminal.stderr.write(
    [
      `${id} still runs.`,
      '  w  go on watching',
      '  l  leave it running (or Ctrl-C again)',
      '  c  cancel it: it unlocks the cluster before it ends',
      '',
    ].join('\n'),
  );
  for (;;) {
    const answer = await answerTo(terminal, 'w, l or c? ');
    if (answer === undefined) return 'leave';
    const chosen = (['watch', 'leave', 'cancel'] as const).find(
      (one) => answer !== '' && one.startsWith(answer.toLowerCase()),
    );
    if (chosen !== undefined) return chosen;
  }
}

/** What was typed; undefined when Ctrl-C was, or when nobody is there any more. */
async function answerTo({ stdin, stderr }: Terminal, question: string): Promise<string | undefined> {
  const asking = createInterface({ input: stdin, output: stderr });
  const { promise: left, resolve: leave } = Promise.withResolvers<undefined>();
  const stop = (): void => leave(undefined);
  // A terminal that is asked hands on Ctrl-C as a key; a signal may come all the same.
  asking.once('close', stop).once('SIGINT', stop);
  process.once('SIGINT', stop);
  try {
    const answer = await Promise.race([asking.question(question).catch(() => undefined), left]);
    if (answer === undefined) stderr.write('\n');
    return answer?.trim();
  } finally {
    process.off('SIGINT', stop);
    asking.close();
  }
}
