import { Option } from 'commander';
import { lockState } from '../../client/reading.ts';
import type { Holder } from '../../domain/documents.ts';
import { HomarusError } from '../../domain/errors.ts';
import { formatDuration } from '../../domain/text.ts';
import { confirm } from '../ask.ts';
import type { Spec } from '../command.ts';
import { operate } from '../operate.ts';
import { duration, storageOption, waitOptions, yesOption } from '../options.ts';

export const lock: Spec<{ for: number; storage?: string; waitForLock?: number; wait: boolean }> = {
  usage: 'lock',
  summary: 'Hold the cluster for maintenance: no operation runs until it is unlocked',
  details: 'It returns when the cluster is held, and the lock ends by itself after the time given.',
  options: [
    new Option('--for <duration>', 'how long at most, e.g. 1h').argParser(duration).makeOptionMandatory(),
    storageOption(),
    ...waitOptions(),
  ],
  example: 'homarus lock --for 1h',
  run(context, { wait, ...request }) {
    return operate(context, 'lock', request, {
      wait,
      enough: ({ progress }) => progress?.phase === 'held',
      describe: ({ id }) =>
        `the cluster is locked for ${formatDuration(request.for)} at most (${id}); "homarus unlock" frees it`,
    });
  },
};

export const unlock: Spec<{ storage?: string; yes?: boolean }> = {
  usage: 'unlock',
  summary: 'Free the cluster that an operator locked',
  details: 'It asks before it ends the lock of somebody else. A running backup or restore is no such lock: cancel it.',
  options: [storageOption(), yesOption()],
  example: 'homarus unlock',
  async run(context, { storage, yes }) {
    const { holder, expired } = await lockState(await context.reading(storage));
    if (holder === null) return { result: { unlocked: null }, text: 'the cluster is not locked' };
    if (holder.kind !== 'lock') throw isWork(holder);
    if (holder.by !== context.who) {
      const whose = `The cluster is locked by ${holder.by || 'somebody'} since ${holder.since} (${holder.operation}).`;
      await confirm(context.terminal, `${whose} This ends that lock.`, yes);
    }
    const { unlockOperation } = await import('../../client/operations.ts');
    try {
      await unlockOperation(await context.client(), holder.operation);
    } catch (error) {
      if (!expired) throw error;
      // Nobody refreshes it, so it keeps nobody out.
      return { result: { unlocked: null }, text: `the lock ${holder.operation} had run out already` };
    }
    return { result: { unlocked: holder.operation }, text: 'the cluster is unlocked' };
  },
};

function isWork({ kind, operation, by, since }: Holder): HomarusError {
  return new HomarusError('LockHeld', `the cluster is held by ${kind} ${operation} (by ${by}), since ${since}`, {
    hint: `Wait for it, or cancel it: homarus cancel ${operation}`,
  });
}
