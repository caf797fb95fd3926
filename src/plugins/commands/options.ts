import { fields } from '../fields.ts';
import { type FileSelection, fileOptions } from '../fileOptions.ts';
import type { Zod } from '../module.ts';

export const POINTS = ['beforeSnapshot', 'afterSnapshot', 'beforeRestore', 'afterRestore', 'check'] as const;
export type Point = (typeof POINTS)[number];

export interface Command {
  /** Program and arguments, as they are. */
  command?: string[] | undefined;
  /** Or a line for /bin/sh. */
  shell?: string | undefined;
  /** `every` node, the `first` of those that take part, or one by its id. */
  on: string;
  /** ms. */
  timeout: number;
}

export type CommandOptions = FileSelection &
  Record<Point, Command[]> & {
    /** Set for the commands. */
    env: Record<string, string>;
    /** Variables of our own environment that the commands get, too. */
    passEnv: string[];
  };

export function options(z: Zod) {
  const { text, envName, duration } = fields(z);
  const command = z
    .strictObject({
      command: z.array(z.string()).min(1, 'name at least the program').optional(),
      shell: text.optional(),
      on: text.default('every'),
      timeout: duration(1_000).default(300_000),
    })
    .refine(
      (one) => (one.command === undefined) !== (one.shell === undefined),
      'give command, a list of program and arguments, or shell, a line for /bin/sh: one of them',
    );
  const commands = z.array(command).default([]);
  return z.strictObject({
    ...fileOptions(z),
    beforeSnapshot: commands,
    afterSnapshot: commands,
    beforeRestore: commands,
    afterRestore: commands,
    check: commands,
    env: z.record(envName, z.string()).default({}),
    passEnv: z.array(envName).default([]),
  });
}

export const selection = ({ include, exclude, onUnreadable }: CommandOptions): FileSelection => ({
  include,
  exclude,
  onUnreadable,
});
