import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { WorkerOptions } from '@temporalio/worker';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';

/** The workflows as one file: made once by the build, so that a coordinator starts at once. */
const built = new URL('../workflows.bundle.js', import.meta.url);
const isSource = import.meta.url.endsWith('.ts');

/** From the build's bundle, or bundled now when run from source. */
export function workflowSource(): Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath'> {
  if (isSource) return { workflowsPath: workflowsPath() };
  return { workflowBundle: { codePath: fileURLToPath(built) } };
}

const workflowsPath = (): string =>
  fileURLToPath(new URL(isSource ? '../workflows/index.ts' : '../workflows/index.js', import.meta.url));

export async function bundleWorkflows(): Promise<string> {
  const { code } = await bundleWorkflowCode({ workflowsPath: workflowsPath(), logger: new DefaultLogger('WARN') });
  return code;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await writeFile(built, await bundleWorkflows());
