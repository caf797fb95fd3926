import { Option } from 'commander';
import { findBackup } from '../../client/reading.ts';
import { HomarusError } from '../../domain/errors.ts';
import { pin as pinBackup, unpin as unpinBackup } from '../../storage/marks.ts';
import type { Spec } from '../command.ts';
import { storageOption, time } from '../options.ts';
import { counted } from '../terminal.ts';

/** A cleanup that is under way is waited for so long, ms. */
const PATIENCE = 60_000;

export const pin: Spec<{ note?: string; until?: string; storage?: string }, [string]> = {
  usage: 'pin <backup>',
  summary: 'Keep a backup from every cleanup, until it is unpinned or a time that you give',
  options: [
    new Option('--until <time>', 'the pin ends by itself at this time (UTC)').argParser(time),
    new Option('--note <text>', 'why, for people'),
    storageOption(),
  ],
  example: 'homarus pin 2026-11-24T03-15-00Z --note "audit of 2026"',
  async run(context, { note = '', until, storage }, name) {
    if (until !== undefined && Date.parse(until) <= context.now().getTime()) {
      throw new HomarusError('BadInput', `until: ${until} is over already`);
    }
    const reading = await context.reading(storage);
    const { name: backup } = findBackup(reading, name);
    const asked = { by: context.who, note, patience: PATIENCE, ...(until === undefined ? {} : { until }) };
    const mark = await pinBackup(reading.repository, backup, asked);
    return {
      result: { backup, at: mark.at, by: mark.by, note, until: until ?? null },
      text: `backup ${backup} is pinned${until === undefined ? '' : ` until ${until}`}`,
    };
  },
};

export const unpin: Spec<{ storage?: string }, [string]> = {
  usage: 'unpin <backup>',
  summary: 'Leave a pinned backup to retention again',
  options: [storageOption()],
  example: 'homarus unpin 2026-11-24T03-15-00Z',
  async run(context, { storage }, name) {
    const reading = await context.reading(storage);
    const { name: backup } = findBackup(reading, name);
    const removed = await unpinBackup(reading.repository, backup);
    return { result: { backup, removed }, text: `backup ${backup}: ${counted(removed, 'pin')} removed` };
  },
};
