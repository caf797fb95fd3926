import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { keys } from '../../src/domain/documents.ts';
import { acquireLock, releaseLock } from '../../src/storage/lock.ts';
import type { Repository } from '../../src/storage/repository.ts';
import type { RootAt } from '../../src/storage/roots.ts';
import { presentRoot } from '../../src/storage/roots.ts';
import { SeenRoots } from '../../src/storage/seen.ts';
import { givenRepository, holderOf } from './given.ts';
import type { ScriptedStore } from './scripted.ts';

let directory: string;
let repository: Repository;
let store: ScriptedStore;
let former: RootAt;
let present: RootAt;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'homarus-seen-'));
  ({ store, repository, at: former } = await givenRepository());
  const { epoch } = await acquireLock(repository, holderOf('nightly'), { nonce: 'lock' });
  await releaseLock(repository, epoch, 'release');
  present = await presentRoot(repository);
});
afterEach(() => rm(directory, { recursive: true }));

/** The storage as it was before the last two commits. */
function putBack(): void {
  for (const key of store.keys('roots/')) if (key > keys.root(former.root.number)) store.objects.delete(key);
}

const check = (at: RootAt) => new SeenRoots(directory).check(repository, at);

test('roots that go on are remembered across processes, one small file for each repository', async () => {
  await check(former);
  await check(present);
  await check(present);
  const other = await givenRepository();
  await new SeenRoots(directory).check(other.repository, other.at);
  const ids = [repository, other.repository].map(({ parameters }) => `${parameters.id}.json`);
  expect((await readdir(join(directory, 'seen'))).sort()).toEqual(ids.sort());
});

test('a root below the highest that was seen is refused, and not remembered', async () => {
  await check(present);
  putBack();
  const refusal = {
    code: 'RolledBack',
    message: expect.stringContaining('memory is at root 1, but root 3'),
    hint: expect.stringContaining('homarus accept-rollback'),
  };
  await expect(check(former)).rejects.toMatchObject(refusal);
  await expect(check(former)).rejects.toMatchObject(refusal);
});

test('a root that was read before another process saw the next one is believed, and what is remembered stays', async () => {
  await check(present);
  await check(former);
  await new SeenRoots(directory).refuseOlder(repository, former);
  putBack();
  await expect(check(former)).rejects.toMatchObject({ code: 'RolledBack' });
});

test('a root that was put back is believed when that was asked for, and what comes after it is checked again', async () => {
  await check(present);
  const ahead = new Map(store.objects);
  putBack();
  const seen = new SeenRoots(directory);
  await expect(seen.refuseOlder(repository, former)).rejects.toMatchObject({ code: 'RolledBack' });
  expect(await seen.accept(repository, former)).toBe(present.root.number);
  expect(await seen.accept(repository, former)).toBeUndefined();
  await check(former);
  for (const [key, object] of ahead) store.objects.set(key, object);
  await check(present);
  putBack();
  await expect(check(former)).rejects.toMatchObject({ code: 'RolledBack' });
});

test('who only looks in refuses what is older, and remembers nothing', async () => {
  const seen = new SeenRoots(directory);
  await seen.refuseOlder(repository, present);
  putBack();
  await check(former);
});

test('another root with the number that was seen is refused', async () => {
  await check(present);
  await expect(check({ ...present, hash: former.hash })).rejects.toMatchObject({
    code: 'RolledBack',
    message: expect.stringContaining('has another root 3'),
  });
});

test('a file that a crash cut short is as good as none', async () => {
  await check(present);
  putBack();
  await writeFile(join(directory, 'seen', `${repository.parameters.id}.json`), '{"num');
  await check(former);
});

test('what a killed process was about to remember is removed by the next one, and another one does not mind', async () => {
  const seen = join(directory, 'seen');
  const { id } = repository.parameters;
  await check(former);
  await writeFile(join(seen, `.${id}-killed`), '{');
  await Promise.all(Array.from({ length: 8 }, () => check(present)));
  expect(await readdir(seen)).toEqual([`${id}.json`]);
});

test.each(['{}', 'null', '[]', '{"number":"7","hash":"ab"}', '{"number":7,"hash":"../x"}'])(
  'a file that holds %s is none of ours, and is written anew',
  async (content) => {
    const path = join(directory, 'seen', `${repository.parameters.id}.json`);
    await check(present);
    const remembered = await readFile(path, 'utf8');
    await writeFile(path, content);
    await check(present);
    expect(await readFile(path, 'utf8')).toBe(remembered);
  },
);
