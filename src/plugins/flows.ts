import { files } from './files/flow.ts';
import type { Flow } from './plugin.ts';

/** The flow of each plugin, by its name in the configuration. */
export const flows: Readonly<Record<string, Flow>> = { files };
