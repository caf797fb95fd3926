import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { test } from '@jest/globals';

const isThere = (program: string): boolean =>
  (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

/**
 * `test` for what needs programs of Debian's packages: without them it is skipped by name here, and fails in CI, where `.ci/run`
 * installs them.
 */
export function testNeeding(
  ...programs: string[]
): (title: string, body: () => Promise<void>, timeout?: number) => void {
  const missing = programs.filter((program) => !isThere(program));
  if (missing.length === 0) return test;
  if (!process.env.CI) return (title) => test.skip(`${title} (needs ${missing.join(', ')})`, () => undefined);
  return (title) =>
    test(title, () => {
      throw new Error(`${missing.join(', ')} must be installed: add the package to .ci/run`);
    });
}
