import type { Flow } from '../plugin.ts';

/** Files as they are: a snapshot of every node, nothing of a database. */
export const files: Flow = {
  version: 1,
  async backup(steps) {
    await steps.snapshot();
    await steps.upload();
    return null;
  },
  async restore(steps) {
    await steps.restore();
  },
};
