import type { Command } from 'commander';
import { CommanderError } from 'commander';
import { HomarusError } from '../domain/errors.ts';
import type { AnySpec, Group } from './command.ts';
import { program } from './command.ts';
import { Context } from './context.ts';
import { Output } from './output.ts';
import type { Terminal } from './terminal.ts';

/** Runs the command that the arguments name; answers its exit code. */
export async function runCommandLine(
  groups: readonly Group[],
  argv: readonly string[],
  terminal: Terminal,
): Promise<number> {
  let exit = 0;
  const root = program(groups, async (spec, command) => {
    exit = await runCommand(spec, command, terminal);
  });
  forEach(root, (command) => {
    command.exitOverride().configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: () => undefined,
    });
  });
  try {
    await root.parseAsync(argv.length === 0 ? ['--help'] : argv, { from: 'user' });
    return exit;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    return new Output(terminal, wantsJson(argv)).failure(
      error instanceof CommanderError ? misused(error, argv) : error,
    );
  }
}

async function runCommand(spec: AnySpec, command: Command, terminal: Terminal): Promise<number> {
  const { config, json = false, ...options } = command.optsWithGlobals<{ config?: string; json?: boolean }>();
  const output = new Output(terminal, json);
  const context = new Context(terminal, output, config);
  try {
    return await output.answer(await spec.run(context, options, ...(command.processedArgs as never[])));
  } catch (error) {
    return output.failure(error);
  } finally {
    await context.close();
  }
}

/** What the option library says of arguments that it does not accept. */
function misused(error: CommanderError, argv: readonly string[]): HomarusError {
  const missing = `a command is missing after "${argv.join(' ')}"`;
  const message =
    error.code === 'commander.help' ? missing : error.message.replace(/^error: /, '').replace(/\s+/g, ' ');
  return new HomarusError('BadInput', message, { hint: '"homarus COMMAND --help" shows what a command takes.' });
}

/** Asked before the arguments were understood. */
const wantsJson = (argv: readonly string[]): boolean => argv.slice(0, argv.indexOf('--') >>> 0).includes('--json');

function forEach(command: Command, visit: (command: Command) => void): void {
  visit(command);
  for (const child of command.commands) forEach(child, visit);
}
