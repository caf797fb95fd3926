import type { CleanUpInput, CleanUpOptions } from '../storage/cleanUp.ts';
import { cleanUp } from '../storage/cleanUp.ts';
import { asBuffer } from '../storage/hash.ts';
import type { BuiltPack } from '../storage/pack.ts';
import type { BuildArgs, MarkArgs, MarkedPages, OpenedChunks, PackWork, ReadArgs } from '../storage/packWork.ts';
import { buildPack, markPages, openChunks } from '../storage/packWork.ts';
import type { Repository } from '../storage/repository.ts';
import type { JobContext } from './job.ts';
import { movable } from './packTask.ts';
import type { WorkPool } from './pool.ts';
import type { TaskAnswer } from './tasks.ts';

/** A cleanup as a job: what keeps a processor busy is done by the pool. */

export type CleanerInput = CleanUpInput & Pick<CleanUpOptions, 'retention' | 'rewrite' | 'directory' | 'now'>;

export function clean(repository: Repository, input: CleanerInput, context: JobContext) {
  const { signal, pool, progress } = context;
  return cleanUp(repository, input, {
    ...input,
    signal,
    work: poolWork(pool),
    onWarning: context.warn,
    onProgress(step, done, total) {
      context.at(step);
      progress.bytesDone = done;
      progress.bytesTotal = total;
    },
  });
}

export function poolWork(pool: WorkPool): PackWork {
  return {
    markPages: (args) => pool.run<MarkedPages>('markPages', args, movesRead(args)),
    openChunks: (args) => pool.run<OpenedChunks>('openChunks', args, movesRead(args)),
    buildPack: async (args) => {
      const transfer = args.parts.flatMap(({ content, chunks }) => [content.buffer, chunks.buffer]);
      const built = await pool.run<BuiltPack>('buildFromChunks', args, { transfer });
      return { ...built, body: asBuffer(built.body), entries: asBuffer(built.entries) };
    },
  };
}

/** What was read is moved to the thread unless it is part of something larger. */
const movesRead = ({ stored }: ReadArgs) =>
  stored.buffer.byteLength === stored.length ? { transfer: [stored.buffer as ArrayBuffer] } : {};

/** What the pool's threads do of it. */
export const packTasks = {
  markPages: (args: MarkArgs): TaskAnswer => ({ result: markPages(args) }),
  openChunks(args: ReadArgs): TaskAnswer {
    const result = openChunks(args);
    return { result, transfer: [result.content.buffer, result.chunks.buffer] };
  },
  buildFromChunks(args: BuildArgs): TaskAnswer {
    const built = buildPack(args);
    const result = { ...built, entries: movable(built.entries) };
    return { result, transfer: [...new Set([result.body.buffer, result.entries.buffer])] };
  },
};
