import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** What nothing that looks at every file can be faster than: a walk with `lstat`. */
function walk(directory: string): number {
  let files = 0;
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    if (lstatSync(path, { bigint: true }).isDirectory()) files += walk(path);
    else files++;
  }
  return files;
}

console.log(`${walk(process.argv[2] as string)} files`);
