import { describe, expect, test } from '@jest/globals';
import { type M3Data, m3 } from '../../../src/plugins/m3/flow.ts';
import type { BackupSteps, Calls, CheckSteps, RestoreSteps } from '../../../src/plugins/plugin.ts';

const data: M3Data = { environment: 'e', service: 'm3db', revision: '7', digest: 'x', instances: { n1: 'd1' } };
const counts = { put: 1, deleted: 1, same: 1, named: ['put a', 'delete b'] };
type Run = Calls<typeof m3.activities>;

/** Steps and activities that note that they were called, in order; `failing` names one that rejects. */
function noted(failing = '') {
  const calls: string[] = [];
  const call =
    (name: string, answer?: unknown) =>
    async (input?: { dryRun?: boolean }): Promise<never> => {
      const full = input?.dryRun ? `${name} dry` : name;
      calls.push(full);
      if (full === failing) throw new Error(`${full} failed`);
      return answer as never;
    };
  const callsOf = (names: string[], answers: Record<string, unknown> = {}): unknown =>
    Object.fromEntries(names.map((name) => [name, call(name, answers[name])]));
  const run = callsOf(Object.keys(m3.activities), { store: data, restore: counts }) as Run;
  const backup = callsOf(['snapshot', 'plan', 'upload', 'commit']) as BackupSteps<M3Data>;
  const restore = (partial: boolean) =>
    ({ data, pairs: [], missing: [], partial, restore: call('files') }) as unknown as RestoreSteps<M3Data>;
  return { calls, run, backup, restore };
}

describe('a backup', () => {
  test('reads etcd before the snapshot and again after the upload, and commits only when nothing changed', async () => {
    const { calls, run, backup } = noted();
    await m3.backup(backup, run);
    expect(calls).toEqual(['store', 'hold', 'snapshot', 'letGo', 'plan', 'upload', 'compare', 'commit']);
    const changed = noted('compare');
    await expect(m3.backup(changed.backup, changed.run)).rejects.toThrow('compare failed');
    expect(changed.calls).not.toContain('commit');
  });
});

describe('a restore', () => {
  test('tries the new placement first, brings the data, and writes etcd last', async () => {
    const { calls, run, restore } = noted();
    expect(await m3.restore(restore(false), run)).toMatchObject({
      ...counts,
      summary: expect.stringContaining('put a'),
    });
    expect(calls).toEqual(['refuseRunning', 'restore dry', 'files', 'refuseRunning', 'restore']);
  });

  test.each(['refuseRunning', 'restore dry', 'files'])(
    'that fails at "%s" leaves the old placement where it is',
    async (failing) => {
      const { calls, run, restore } = noted(failing);
      await expect(m3.restore(restore(false), run)).rejects.toThrow(`${failing} failed`);
      expect(calls.at(-1)).toBe(failing);
      if (failing !== 'files') expect(calls).not.toContain('files');
    },
  );

  test('of some nodes or paths leaves etcd alone, and so does its preview', async () => {
    const { calls, run, restore } = noted();
    expect(await m3.restore(restore(true), run)).toBeNull();
    expect(await m3.preview?.(restore(true), run)).toBeNull();
    expect(calls).toEqual(['refuseRunning', 'files', 'refuseRunning']);
  });
});

test('a check in place compares etcd; elsewhere, or of a part, it reads what is stored of it', async () => {
  const steps = (to: string | null, partial = false) =>
    ({
      ...{ data, pairs: [], missing: [], partial, to },
      failure: (text: string) => new Error(text),
    }) as unknown as CheckSteps<M3Data>;
  const { calls, run } = noted();
  await expect(m3.check?.(steps(null), run)).rejects.toThrow('2 keys differ');
  const same = { ...run, restore: async () => ({ put: 0, deleted: 0, same: 3, named: [] }) } as unknown as Run;
  await m3.check?.(steps(null), same);
  await m3.check?.(steps('/elsewhere'), run);
  await m3.check?.(steps(null, true), run);
  expect(calls).toEqual(['restore dry', 'readThrough', 'readThrough']);
});
