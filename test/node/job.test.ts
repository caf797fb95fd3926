import { getPriority } from 'node:os';
import { expect, test } from '@jest/globals';
import { runJobOf } from '../../src/node/job.ts';

const table = new URL('./testJobs.ts', import.meta.url).href;
const run = (kind: string, args: object = {}, signal = new AbortController().signal): Promise<unknown> =>
  runJobOf(table, kind, args, { signal });

test('the thread of a job waits for the next one', async () => {
  const first = await run('where');
  expect(await run('where')).toBe(first);
});

test('jobs that run at once have a thread each', async () => {
  const [one, other] = await Promise.all([run('where'), run('where')]);
  expect(one).not.toBe(other);
});

test('a thread in which a job failed, was stopped, or left much memory is not used again', async () => {
  const ways: (() => Promise<unknown>)[] = [
    () => expect(run('fail')).rejects.toMatchObject({ code: 'NoSpace' }),
    () => expect(stopped('wait')).rejects.toMatchObject({ message: 'enough' }),
    () => expect(stopped('spin')).rejects.toMatchObject({ message: 'enough' }),
    () => run('hoard', { bytes: 100 * 1024 * 1024 }),
  ];
  for (const end of ways) {
    const before = await run('where');
    await end();
    expect(await run('where')).not.toBe(before);
  }
});

test('a thread that dies fails its job and nothing else', async () => {
  await expect(run('die')).rejects.toMatchObject({ code: 'NodeFailed' });
  expect(await run('where')).toEqual(expect.any(Number));
});

test('the work of a node gives way as it was told, and nothing else of the process does', async () => {
  const { signal } = new AbortController();
  const own = getPriority(0);
  expect(await runJobOf(table, 'priority', {}, { signal, priority: { nice: 7, ionice: 'idle' } })).toBe('7, idle');
  await run('hoard', { bytes: 100 * 1024 * 1024 });
  expect(await runJobOf(table, 'priority', {}, { signal, priority: { nice: 3, ionice: 6 } })).toBe(
    '3, best-effort: prio 6',
  );
  expect(getPriority(0)).toBe(own);
  await run('hoard', { bytes: 100 * 1024 * 1024 });
});

function stopped(kind: string): Promise<unknown> {
  const controller = new AbortController();
  const running = run(kind, {}, controller.signal);
  setTimeout(() => controller.abort(new Error('enough')), 50);
  return running;
}
