import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { StopFlag } from '../../src/node/threads.ts';
import * as writing from '../../src/node/writing.ts';
import { givenContext } from '../support/jobs.ts';

const { writeUnder, lostItsLock, ...calls } = writing;
const lockLost = expect.objectContaining({ code: 'LockLost' });

/** A flag whose lease ran out a moment ago; nobody has said stop. */
function lost(): StopFlag {
  const flag = new StopFlag();
  flag.lostAt(0);
  return flag;
}

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'homarus-writing-'));
});
afterEach(() => {
  writeUnder(new StopFlag());
  rmSync(directory, { recursive: true });
});

describe('work whose lease has run out', () => {
  test.each(Object.entries(calls))('does not come to %s', (_, call) => {
    writeUnder(lost());
    expect(lostItsLock()).toBe(true);
    expect(call as () => unknown).toThrow(lockLost);
  });

  test('changes nothing in the thread that it runs in, and goes on when the lease is put off in time', () => {
    const flag = lost();
    writeUnder(flag);
    expect(() => writing.writeFileSync(join(directory, 'file'), 'late')).toThrow(lockLost);
    expect(readdirSync(directory)).toEqual([]);
    flag.lostAt(Number(process.hrtime.bigint()) / 1e6 + 60_000);
    writing.writeFileSync(join(directory, 'file'), 'in time');
    expect(readFileSync(join(directory, 'file'), 'utf8')).toBe('in time');
  });

  test('is refused by the threads of its pool, which nobody told', async () => {
    const { context, lose, close } = givenContext();
    try {
      lose();
      await expect(context.pool.run('writeSmall', { files: [] })).rejects.toEqual(lockLost);
    } finally {
      await close();
    }
  });

  test('is told apart from work that was stopped, which may still tidy up', () => {
    const flag = new StopFlag();
    flag.stop();
    writeUnder(flag);
    expect(() => flag.throwIfStopped()).toThrow(expect.objectContaining({ code: 'Cancelled' }));
    writing.writeFileSync(join(directory, 'file'), '');
  });
});

test('all that jobs write goes through the calls that ask', () => {
  const source = new URL('../../src/node/', import.meta.url);
  // What the worker does before and beside its jobs.
  const others = ['identity.ts', 'writing.ts'];
  const names = Object.keys(calls).filter((name) => name !== 'openSync');
  const direct = readdirSync(source)
    .filter((file) => file.endsWith('.ts') && !others.includes(file))
    .filter((file) => {
      const imported = /import \{([^}]*)\} from 'node:fs(?:\/promises)?'/.exec(
        readFileSync(new URL(file, source), 'utf8'),
      );
      return imported?.[1]?.split(',').some((name) => names.includes(name.trim()));
    });
  expect(direct).toEqual([]);
});
