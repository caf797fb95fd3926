// The order of things. This file becomes part of the workflows: it does no I/O and imports nothing that does.

export const flow = {
  name: 'ledger',
  version: 1,
  // Where each activity runs: everyNode, oneNode or coordinator.
  activities: {
    hold: { place: 'everyNode' },
    resume: { place: 'everyNode' },
    describe: { place: 'everyNode' },
    isStopped: { place: 'everyNode' },
  },

  async backup(steps, run) {
    await run.hold();
    const versions = await run.describe();
    await steps.snapshot();
    await run.resume();
    await steps.plan();
    await steps.upload();
    await steps.commit({ data: { versions } });
  },

  async restore(steps, run) {
    await run.isStopped();
    await steps.restore();
    return { versions: steps.data.versions };
  },

  // `homarus restore --check`, and a drill: the roots of activities are where the files were restored, be it elsewhere.
  async check(steps, run) {
    const found = await run.describe();
    for (const { from, to } of steps.pairs) {
      const wanted = steps.data.versions[from];
      if (found[to] !== wanted) throw steps.failure(`node ${to} has version ${found[to]}, the backup ${wanted}`);
    }
  },
};
