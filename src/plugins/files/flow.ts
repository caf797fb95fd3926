import { defineFlow } from '../plugin.ts';

/** Files as they are: a snapshot of every node, nothing of a database. */
export const files = defineFlow({
  name: 'files',
  version: 1,
  activities: {},
  async backup(steps) {
    await steps.snapshot();
    await steps.plan();
    await steps.upload();
    await steps.commit({ data: null });
  },
  async restore(steps) {
    await steps.restore();
  },
});
