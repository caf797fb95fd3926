import type { CheckPackArgs } from './checkPackTask.ts';
import { checkStoredPack } from './checkPackTask.ts';
import type { CheckArgs } from './checkTask.ts';
import { checkContents } from './checkTask.ts';
import { packTasks } from './cleaner.ts';
import type { HashArgs } from './hashTask.ts';
import { hashRanges } from './hashTask.ts';
import type { PackArgs } from './packTask.ts';
import { buildPack } from './packTask.ts';
import type { WriteArgs } from './writeTask.ts';
import { writeChunks, writeSmall } from './writeTask.ts';

export interface TaskContext {
  /** Throws `Cancelled` when the job was stopped: for long loops. */
  throwIfStopped(): void;
}

export interface TaskAnswer {
  result: unknown;
  /** Memory of the result that is moved to the job, not copied. */
  transfer?: readonly ArrayBuffer[];
}

export type Task = (args: never, context: TaskContext) => TaskAnswer;

/** All that a pool's threads can do. */
export const tasks = {
  hashRanges(args: HashArgs, context: TaskContext) {
    const result = hashRanges(args, context);
    return { result, transfer: [result.hashes.buffer] };
  },
  buildPack(args: PackArgs) {
    const result = buildPack(args);
    return { result, transfer: [...new Set([result.body.buffer, result.entries.buffer])] };
  },
  checkPack: (args: CheckPackArgs) => ({ result: checkStoredPack(args) }),
  checkContents: (args: CheckArgs) => ({ result: checkContents(args) }),
  writeChunks: (args: WriteArgs) => ({ result: writeChunks(args) }),
  ...packTasks,
  writeSmall: (args: Parameters<typeof writeSmall>[0]) => ({ result: writeSmall(args) }),
} satisfies Record<string, Task>;
