import { join } from 'node:path';
import { parseDuration } from '../domain/duration.ts';
import type { Zod } from './module.ts';

/** Kinds of fields that a configuration and the options of plugins have in common. */
export function fields(z: Zod) {
  const text = z.string().min(1, 'must not be empty');
  return {
    text,
    path: text
      .refine(
        (value) => value.startsWith('/'),
        'give an absolute path, which means the same on every machine and in every directory',
      )
      .refine(
        (value) => !value.split('/').some((part) => part === '..' || part === '.'),
        'give a path without "." and ".."',
      )
      .transform((value) => join('/', value).replace(/(.)\/+$/, '$1')),
    envName: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'give the name of an environment variable'),
    /** In ms, not below `least`. */
    duration: (least = 1) =>
      z.string({ error: 'give a duration such as 90s, 5m, 1h or 2d' }).transform((value, context) => {
        try {
          const ms = parseDuration(value);
          if (ms >= least) return ms;
          context.addIssue(`must be at least ${least / 1000} s`);
        } catch (error) {
          context.addIssue((error as Error).message);
        }
        return z.NEVER;
      }),
  };
}
