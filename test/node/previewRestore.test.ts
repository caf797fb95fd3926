import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { RestoreInput } from '../../src/node/planRestore.ts';
import { previewTrees } from '../../src/node/previewRestore.ts';
import { restoreTrees } from '../../src/node/restorer.ts';
import { createRepository } from '../../src/storage/create.ts';
import { ScriptedStore } from '../storage/scripted.ts';
import { givenContext } from '../support/jobs.ts';
import { smallParameters, storeTree } from '../support/storeTree.ts';
import { damage, damages, listing, makeTree, trees } from '../support/trees.ts';

let jobs: ReturnType<typeof givenContext>;
beforeAll(() => {
  jobs = givenContext();
});
afterAll(() => jobs.close());

async function given(base: string, tree: Parameters<typeof makeTree>[1]) {
  const { repository } = await createRepository(new ScriptedStore(), { cluster: 'east', ...smallParameters });
  makeTree(join(base, 'original'), tree);
  const stored = await storeTree(repository, join(base, 'original'));
  const target = join(base, 'target');
  const input: RestoreInput = {
    roots: [{ path: target, linkDir: join(target, '.homarus'), tree: stored.tree }],
    select: { file: () => true, directory: () => true },
    bases: [''],
    verifyExisting: false,
    operation: 'restore-1',
    workDirectory: join(base, 'work'),
  };
  const root = { indexes: [stored.index], damaged: [] };
  return {
    target,
    restore: () => restoreTrees(repository, root, input, jobs.context),
    preview: () => previewTrees(repository, root, input, jobs.context),
  };
}

test('what is shown is what is done, whatever the target is like, and showing it changes nothing', async () => {
  await fc.assert(
    fc.asyncProperty(trees, damages, async (tree, wrong) => {
      const base = mkdtempSync(join(tmpdir(), 'homarus-preview-'));
      try {
        const { target, restore, preview } = await given(base, tree);
        await restore();
        damage(target, wrong, join(base, 'elsewhere'));
        const before = listing(target);
        const shown = await preview();
        expect(listing(target)).toEqual(before);
        const { fetchedBytes: fetchBytes, ...counts } = await restore();
        expect(shown).toMatchObject({ ...counts, fetchBytes });
      } finally {
        rmSync(base, { recursive: true, force: true });
      }
    }),
    { numRuns: 20 },
  );
});

test('a target that is not there yet is not made, and its space is that of what is above it', async () => {
  const base = mkdtempSync(join(tmpdir(), 'homarus-preview-'));
  try {
    const { target, preview } = await given(base, { a: { type: 'file', size: 50_000, seed: 1, mode: 0o644 } });
    const { space, ...shown } = await preview();
    expect(shown).toMatchObject({ files: 1, bytes: 50_000, kept: 0, removed: 0 });
    expect(space).toEqual([{ path: target, needed: 50_000, freed: 0, available: expect.any(Number) }]);
    expect(space[0]!.available).toBeGreaterThan(0);
    expect(existsSync(target)).toBe(false);
    expect(existsSync(join(base, 'work'))).toBe(false);
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
});
