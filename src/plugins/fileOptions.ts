import { compileSelection } from '../node/select.ts';
import type { Zod } from './module.ts';

/** Which files of the data roots a backup takes. */
export interface FileSelection {
  include: string[];
  exclude: string[];
  onUnreadable: 'fail' | 'skip';
  /**
   * They are taken from this directory below each root, as if it were the root: for a plugin that puts there, by hard links,
   * what belongs together. A restore brings them back into the root itself.
   */
  below?: string;
}

export const ALL_FILES: FileSelection = { include: [], exclude: [], onUnreadable: 'fail' };

/** The options of plugins that let the operator choose files. */
export function fileOptions(z: Zod) {
  const glob = z
    .string()
    .min(1, 'must not be empty')
    .superRefine((text, context) => {
      try {
        compileSelection({ include: [text], exclude: [] });
      } catch (error) {
        context.addIssue((error as Error).message.replace(/^path: /, ''));
      }
    });
  return {
    include: z.array(glob).default([]),
    exclude: z.array(glob).default([]),
    onUnreadable: z.enum(['fail', 'skip']).default('fail'),
  };
}
