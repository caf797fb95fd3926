import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, mkdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Tree } from '../support/trees.ts';
import { makeTree } from '../support/trees.ts';

/** What the nodes of a small cluster hold, one generation after the other. */

const file = (size: number, seed: number) => ({ type: 'file' as const, size, seed, mode: 0o644 });
const common: Tree = {
  big: file(70_001, 1),
  inline: file(100, 2),
  dir: { type: 'directory', mode: 0o755, entries: { a: file(5_000, 3), moved: file(3_000, 4), gone: file(2_500, 5) } },
  twin: file(6_000, 6),
  'twin-2': { type: 'hardlink' },
  link: { type: 'symlink', target: 'big' },
};
const trees: Record<string, Tree> = {
  n1: { ...common, own: file(20_000, 7) },
  n2: { ...common, own: file(9_000, 8), 'own-2': file(30_000, 9) },
};

export const nodeIds = Object.keys(trees);

/** What a node's root holds in each generation: the first is made, each other one by edits. */
export const generations = ['g1', 'g2', 'g3'] as const;
export type Generation = (typeof generations)[number];

const edits: Record<Generation, (root: string) => void> = {
  g1: () => undefined,
  g2(root) {
    appendFileSync(join(root, 'big'), Buffer.alloc(9_000, 'grown'));
    writeFileSync(join(root, 'new'), Buffer.alloc(12_000, `new on ${root.split('/').at(-1)}`));
    rmSync(join(root, 'dir', 'gone'));
    renameSync(join(root, 'dir', 'moved'), join(root, 'moved'));
    chmodSync(join(root, 'dir'), 0o750);
  },
  g3(root) {
    rmSync(join(root, 'big'));
    writeFileSync(join(root, 'own'), Buffer.alloc(20_000, 'other'));
  },
};

/** Goes from one generation to the next, with times that do not depend on when. */
export function edit(root: string, generation: Generation): void {
  edits[generation](root);
  const time = 1_650_000_000 + generations.indexOf(generation);
  for (const name of ['big', 'new', 'own', 'dir', '.']) {
    try {
      utimesSync(join(root, name), time, time);
    } catch {
      // Not in this generation.
    }
  }
}

/** What the nodes hold in each generation, made once, to compare with. */
export function makePristine(base: string): void {
  for (const node of Object.keys(trees)) {
    let former: string | undefined;
    for (const generation of generations) {
      const root = pristineOf(base, generation, node);
      mkdirSync(join(root, '..'), { recursive: true });
      if (former) execFileSync('cp', ['-a', former, root]);
      else makeTree(root, trees[node]!);
      // A node's root has its link directory; that one came is no change of the root.
      mkdirSync(join(root, '.homarus'), { recursive: true, mode: 0o700 });
      edit(root, generation);
      former = root;
    }
  }
}

export const pristineOf = (base: string, generation: Generation, node: string): string =>
  join(base, 'pristine', generation, node);
