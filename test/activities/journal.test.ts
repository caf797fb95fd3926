import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Client } from '@temporalio/client';
import { ActivityNotFoundError, NamespaceNotFoundError } from '@temporalio/client';
import { TokenJournal } from '../../src/activities/journal.ts';

let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'homarus-journal-'));
});
afterEach(() => rmSync(stateDir, { recursive: true }));

/** A client that remembers the tokens of the activities that it failed. */
function remembering(answer: () => void = () => undefined): { client: Client; tokens: string[] } {
  const tokens: string[] = [];
  const fail = async (token: Uint8Array): Promise<void> => {
    tokens.push(Buffer.from(token).toString());
    answer();
  };
  return { client: { activity: { fail } } as unknown as Client, tokens };
}

const token = (text: string): string => Buffer.from(text).toString('base64');
const left = (): string[] => readdirSync(join(stateDir, 'running'));

describe('what ran when a process was killed', () => {
  test('is handed back by the next, and what had ended is not', async () => {
    const journal = new TokenJournal(stateDir);
    journal.started(token('running'));
    journal.started(token('ended'))();
    const { client, tokens } = remembering();
    expect(await new TokenJournal(stateDir).handBack(client)).toBe(1);
    expect(tokens).toEqual(['running']);
    expect(left()).toEqual([]);
  });

  test.each([
    ['has given up by itself', new ActivityNotFoundError('gone')],
    ['cannot know, since its database was lost,', new NamespaceNotFoundError('former')],
  ])('and that the server %s is forgotten', async (_, error) => {
    new TokenJournal(stateDir).started(token('late'));
    const { client } = remembering(() => {
      throw error;
    });
    await new TokenJournal(stateDir).handBack(client);
    expect(left()).toEqual([]);
  });

  test('but is not known, since the kill came while it was noted, does not keep the next from starting', async () => {
    mkdirSync(join(stateDir, 'running'), { recursive: true });
    writeFileSync(join(stateDir, 'running', 'a.aside'), token('half'));
    writeFileSync(join(stateDir, 'running', 'b'), '');
    const { client, tokens } = remembering();
    expect(await new TokenJournal(stateDir).handBack(client)).toBe(0);
    expect(tokens).toEqual([]);
    expect(left()).toEqual([]);
  });

  test('stays noted while Temporal does not answer', async () => {
    new TokenJournal(stateDir).started(token('running'));
    const { client } = remembering(() => {
      throw new Error('nobody there');
    });
    await expect(new TokenJournal(stateDir).handBack(client)).rejects.toThrow('nobody there');
    expect(left()).toHaveLength(1);
  });
});

test('an activity goes on without a note where there is no space for it', () => {
  const journal = new TokenJournal(stateDir);
  const ended = journal.started(token('running'));
  const [note] = left();
  ended();
  // Every write to it is refused with ENOSPC.
  symlinkSync('/dev/full', join(stateDir, 'running', `${note}.aside`));
  journal.started(token('running'))();
  expect(left()).toEqual([]);
});
