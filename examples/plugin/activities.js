// What is done to the world. Each of these may be stopped anywhere, and is then run again.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const inRoot = ({ node }, name) => join(node.roots[0].path, name);

export const activities = {
  async hold(_, context) {
    // Noted before it is done: whatever happens now, this node undoes it.
    context.notes.write({ held: true });
    writeFileSync(inRoot(context, context.options.holdFile), context.operation);
    context.log('info', 'the ledger holds its writes', { node: context.node.id });
  },

  resume: (_, context) => cleanUp(context),

  async describe(_, context) {
    return readFileSync(inRoot(context, 'VERSION'), 'utf8').trim();
  },

  async isStopped(_, context) {
    if (!existsSync(inRoot(context, 'ledger.pid'))) return;
    throw context.failure('the ledger runs on the files that are to be restored', { hint: 'Stop it on every node.' });
  },
};

/** Called by the node itself when an operation has ended there, whatever way: also after a crash, or without the network. */
export async function cleanUp(context) {
  if (!context.notes.read()) return;
  rmSync(inRoot(context, context.options.holdFile), { force: true });
  context.notes.clear();
}
