import type { Option } from 'commander';
import { Command } from 'commander';
import { version } from '../version.ts';
import type { Context } from './context.ts';
import type { Answer } from './output.ts';

/** One command: how it is written, what it says of itself, what it does. */
export interface Spec<O = object, A extends unknown[] = []> {
  /** As commander reads it, e.g. `show <backup>`; `[backup=latest]` has a default. */
  readonly usage: string;
  readonly summary: string;
  /** What one must know beyond the summary. */
  readonly details?: string;
  readonly options?: readonly Option[];
  readonly example: string;
  /** Receives the options and then the arguments of `usage`. */
  run(context: Context, options: O, ...args: A): Promise<Answer>;
}

/** The type does not matter to who only lists commands. */
export type AnySpec = Pick<Spec, 'usage' | 'summary' | 'details' | 'options' | 'example'> & {
  run(context: Context, options: object, ...args: never[]): Promise<Answer>;
};

/** Commands under one heading of the help; one with a name of its own has commands below it, as `config check`. */
export interface Group {
  readonly heading: string;
  readonly commands: readonly (
    | AnySpec
    | { readonly name: string; readonly summary: string; readonly commands: readonly AnySpec[] }
  )[];
}

/** Hands a chosen command, with what was typed, to who runs it. */
export type Run = (spec: AnySpec, command: Command) => Promise<void>;

export function program(groups: readonly Group[], run: Run): Command {
  const root = new Command('homarus')
    .description('Backs up, restores and cleans up a whole cluster as durable operations on Temporal.')
    .version(version, '-V, --version', 'the version')
    .option('-c, --config <file>', 'the configuration (default: $HOMARUS_CONFIG, else homarus.yaml in this directory)')
    .option('--json', 'one JSON document on stdout, progress as lines of JSON on stderr')
    .helpOption('-h, --help', 'this help; "homarus COMMAND --help" has that of a command')
    .helpCommand(false);
  for (const { heading, commands } of groups) {
    for (const entry of commands) root.addCommand(built(entry, run).helpGroup(heading));
  }
  return root.addHelpText('after', '\nExit codes and the shape of --json: docs/cli.md');
}

function built(entry: Group['commands'][number], run: Run): Command {
  if ('usage' in entry) return single(entry, run);
  const parent = new Command(entry.name).description(entry.summary).helpCommand(false);
  for (const spec of entry.commands) parent.addCommand(single(spec, run));
  return parent;
}

function single(spec: AnySpec, run: Run): Command {
  const [title = '', ...args] = spec.usage.split(' ');
  const command = new Command(title)
    .summary(spec.summary)
    .description([spec.summary, spec.details].filter(Boolean).join('\n\n'));
  for (const arg of args) {
    const [, name, preset] = /^\[([^=]+)=(.+)\]$/.exec(arg) ?? [];
    if (name === undefined) command.argument(arg);
    else command.argument(`[${name}]`, '', preset);
  }
  for (const option of spec.options ?? []) command.addOption(option);
  command.addHelpText('after', `\nExample:\n  ${spec.example}`);
  return command.action(() => run(spec, command));
}
