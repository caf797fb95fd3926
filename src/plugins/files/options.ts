import { type FileSelection, fileOptions } from '../fileOptions.ts';
import type { Zod } from '../module.ts';

export const options = (z: Zod) => z.strictObject(fileOptions(z));

export const selection = (given: FileSelection): FileSelection => given;
