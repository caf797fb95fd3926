import { defineActivities, type NodeContext } from '../module.ts';
import { type At, commands } from './flow.ts';
import type { Command, CommandOptions, Point } from './options.ts';
import { runProgram } from './program.ts';

type Context = NodeContext<CommandOptions>;

/** Noted before `beforeSnapshot` and until `afterSnapshot` has run: what was frozen is thawed whatever happens. */
interface Frozen {
  at: At;
}

/** What every program may know; our own environment holds secrets. */
const PASSED = ['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR'];

export const { activities, cleanUp } = defineActivities<CommandOptions>()(commands, {
  activities: {
    async beforeSnapshot(at, context) {
      // Of a former attempt, or of a process that was killed here.
      await thaw(context);
      context.notes.write({ at } satisfies Frozen);
      await runAll('beforeSnapshot', at, context);
    },
    afterSnapshot: (_, context) => thaw(context),
    beforeRestore: (at, context) => runAll('beforeRestore', at, context),
    afterRestore: (at, context) => runAll('afterRestore', at, context),
    async check(at, context) {
      if (context.options.check.length === 0) {
        // No command is no proof.
        throw context.failure('no check is configured', { hint: 'Name commands that prove it: plugin.options.check.' });
      }
      await runAll('check', at, context);
    },
  },
  cleanUp: thaw,
});

/** Runs `afterSnapshot` if it is owed. */
async function thaw(context: Context): Promise<void> {
  const frozen = context.notes.read<Frozen>();
  if (frozen === undefined) return;
  await runAll('afterSnapshot', frozen.at, context);
  context.notes.clear();
}

async function runAll(point: Point, { first }: At, context: Context): Promise<void> {
  const { options, node } = context;
  const meant = ({ on }: Command): boolean => on === 'every' || on === node.id || (on === 'first' && node.id === first);
  for (const command of options[point].filter(meant)) await runOne(point, command, context);
}

async function runOne(point: Point, { command, shell, timeout }: Command, context: Context): Promise<void> {
  const { node, log, signal } = context;
  const [program = '', ...args] = shell === undefined ? (command ?? []) : ['/bin/sh', '-c', shell];
  const what = shell ?? [program, ...args].join(' ');
  log('info', `${point}: runs ${what}`, { node: node.id });
  const { how, end } = await runProgram(program, args, {
    env: environment(point, context),
    timeout,
    signal,
    onLine: (line) => log('info', `${point}: ${line}`, { node: node.id }),
  });
  if (how === undefined) return;
  throw context.failure(`${point}: ${what} ${how}${end === '' ? ', and said nothing' : `; its last words:\n${end}`}`, {
    hint: `Run the command by hand on node ${node.id}; the log of its worker has all that it said.`,
  });
}

function environment(point: Point, { options, node, cluster, operation }: Context): Record<string, string> {
  const passed = [...PASSED, ...options.passEnv].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const [root] = node.roots;
  return {
    ...Object.fromEntries(passed),
    ...options.env,
    HOMARUS_POINT: point,
    HOMARUS_CLUSTER: cluster,
    HOMARUS_NODE: node.id,
    HOMARUS_OPERATION: operation,
    ...(root === undefined ? {} : { HOMARUS_ROOT: root.path }),
  };
}
