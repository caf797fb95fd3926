import { join } from 'node:path';
import { parseDuration } from '../domain/duration.ts';
import { parseShare, parseSize } from '../domain/size.ts';
import type { Zod } from './module.ts';

/** Kinds of fields that a configuration and the options of plugins have in common. */
export function fields(z: Zod) {
  /** Written as text that a parser of `domain` understands. */
  const written = (parse: (text: string) => number, example: string) =>
    z
      .string({ error: `give ${example}` })
      .meta({ description: example })
      .transform((value, context) => {
        try {
          return parse(value);
        } catch (error) {
          context.addIssue((error as Error).message);
          return z.NEVER;
        }
      });
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
      .meta({ description: 'an absolute path' })
      .transform((value) => join('/', value).replace(/(.)\/+$/, '$1')),
    envName: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'give the name of an environment variable')
      .meta({ description: 'the name of an environment variable' }),
    /** In ms, not below `least`. */
    duration: (least = 1) =>
      written(parseDuration, 'a duration such as 90s, 5m, 1h or 2d').refine(
        (ms) => ms >= least,
        `must be at least ${least / 1000} s`,
      ),
    /** As a number: 0.05. */
    share: written(parseShare, 'a share such as 5%'),
    /** In bytes. */
    size: written(parseSize, 'a size such as 10GiB'),
  };
}
