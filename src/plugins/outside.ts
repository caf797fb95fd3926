import type { Flow } from './plugin.ts';

/** The flow of a plugin from outside: a coordinator that has one bundles it in this module's place (`workers/bundle.ts`). */
export const flow: Flow | undefined = undefined;
